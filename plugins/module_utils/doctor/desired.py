"""The desired state: fragments that roles write to /etc/wirebook/desired.d."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .host import Host
from .knobs import FORMAT, DesiredStateError, Knob
from .probes import PROBES


def load_fragment(path: Path) -> list[Knob]:
    """Return the knobs of one fragment; DesiredStateError says which field is wrong."""
    try:
        fragment = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DesiredStateError(f"{path} can't be read as JSON ({error}): deploy this host again.") from error
    if not isinstance(fragment, dict) or fragment.get("format") != FORMAT:
        raise DesiredStateError(f"{path} isn't in format {FORMAT}: deploy this host again.")
    knobs = []
    for entry in fragment.get("knobs", []):
        lacking = [key for key in ("name", "probe", "source", "breaks") if not entry.get(key)]
        if lacking:
            raise DesiredStateError(f"A knob in {path} lacks {', '.join(lacking)}: {json.dumps(entry)[:120]}.")
        if entry["probe"] not in PROBES:
            raise DesiredStateError(
                f"The knob '{entry['name']}' in {path} asks for the probe '{entry['probe']}'; "
                f"there are {', '.join(PROBES)}."
            )
        if "want" not in entry and entry["probe"] != "boot_entry":
            raise DesiredStateError(f"The knob '{entry['name']}' in {path} lacks 'want'.")
        knobs.append(
            Knob(
                role=fragment.get("role", path.stem),
                name=entry["name"],
                probe=entry["probe"],
                want=entry.get("want"),
                source=entry["source"],
                breaks=entry["breaks"],
                scope=entry.get("scope", PROBES[entry["probe"]].scope),
                spec=entry,
            )
        )
    return knobs


def load_desired(host: Host, directory: str, roles: Sequence[str]) -> list[Knob]:
    """Return the knobs of all fragments, or of those of `roles`; DesiredStateError if there are none."""
    paths = sorted(host.path(directory).glob("*.json"))
    if not paths:
        raise DesiredStateError(f"There is no desired state in {directory}: deploy this host first.")
    known = [path.stem for path in paths]
    unknown = [role for role in roles if role not in known]
    if unknown:
        raise DesiredStateError(
            f"There is no desired state of {', '.join(unknown)} in {directory}; there is {', '.join(known)}."
        )
    return [knob for path in paths if not roles or path.stem in roles for knob in load_fragment(path)]
