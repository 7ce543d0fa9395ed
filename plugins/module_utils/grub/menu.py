"""Which of GRUB's entries is the default, and which the next boot starts: of a menu with submenus."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .entries import Entry, GrubError

# What grub-mkconfig makes of GRUB_DEFAULT=saved.
SAVED = "${saved_entry}"


@dataclass
class Item:
    """An entry of the menu, or a submenu, which holds others."""

    entry: Entry
    below: list[Item] = field(default_factory=list)
    is_submenu: bool = False


def default_entry(config: str) -> Entry:
    """Return the entry that a configuration written by grub-mkconfig boots by default: its first, or a named one.

    GrubError: which it is may change with the next update-grub or the next boot, or it isn't in the menu.
    """
    items, default = menu_of(config), _default_in(config)
    if not items or (default == "0" and items[0].is_submenu):
        raise GrubError("GRUB's menu doesn't begin with an entry to boot: run update-grub, then deploy again.")
    if default == "0":
        return items[0].entry
    change = (
        "set GRUB_DEFAULT in /etc/default/grub to 0 or to an entry's id, as grep menuentry_id_option "
        "/boot/grub/grub.cfg shows them, and run update-grub, then deploy again."
    )
    if default == SAVED or any(name.isdecimal() for name in default.split(">")):
        raise GrubError(f"GRUB boots its entry '{default}' by default, which may be another one at any boot: {change}")
    found: Item | None = None
    for name in default.split(">"):
        found = next((item for item in items if name in (item.entry.title, item.entry.id)), None)
        items = found.below if found else []
    if found is None or found.is_submenu:
        raise GrubError(f"GRUB is to boot '{default}' by default, which is no entry of its menu: {change}")
    return found.entry


def next_entry(config: str, custom: str, environment: str) -> Entry | None:
    """Return the entry that the next boot starts; None where the menu has none.

    `config` is grub.cfg, `custom` is custom.cfg, which it reads at its end, `environment` is GRUB's environment block.
    An entry that is asked for once (grub-reboot) comes before the default one.
    """
    items = menu_of(config)
    if "custom.cfg" in config:
        items += menu_of(custom)
    remembered = dict(line.partition("=")[::2] for line in environment.splitlines() if not line.startswith("#"))
    chosen = remembered.get("next_entry") or _default_of(config, remembered)
    found: Entry | None = None
    for name in [*chosen.split(">"), ""]:
        if not items:
            break
        item = _find(items, name)
        found, items = item.entry, item.below if item.is_submenu else []
    return found


def _default_of(config: str, remembered: dict[str, str]) -> str:
    """Return what grub-mkconfig had the menu start by default; of GRUB_DEFAULT=saved that is what was saved."""
    default = _default_in(config)
    return remembered.get("saved_entry", "0") if default == SAVED else default


def _default_in(config: str) -> str:
    found = re.search(r'^else\n\s*set default="([^"]*)"', config, re.MULTILINE)
    default = found or re.search(r'^set default="([^"]*)"', config, re.MULTILINE)
    return default.group(1) if default else "0"


def _find(items: list[Item], name: str) -> Item:
    """Return the item of a number, a title or an id; GRUB takes the first where it finds none."""
    if name.isdecimal() and int(name) < len(items):
        return items[int(name)]
    return next((item for item in items if name in (item.entry.title, item.entry.id) and name), items[0])


def menu_of(text: str) -> list[Item]:
    """Return the items of a menu, in order."""
    top: list[Item] = []
    # The open blocks, functions too, with the lines of each.
    blocks: list[tuple[str, list[str], list[Item]]] = []
    for line in text.splitlines():
        stripped = line.strip()
        kind = stripped.partition(" ")[0]
        if kind in ("menuentry", "submenu", "function") and stripped.endswith("{"):
            blocks.append((kind, [stripped], []))
        elif stripped == "}" and blocks:
            kind, lines, below = blocks.pop()
            parent = blocks[-1][2] if blocks else top
            if kind != "function":
                parent.append(Item(Entry((*lines, "}")), below, kind == "submenu"))
        elif blocks:
            blocks[-1][1].append(line)
    return top
