"""Which of GRUB's entries the next boot starts: of a menu with submenus, by what GRUB remembers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .entries import Entry


@dataclass
class Item:
    """An entry of the menu, or a submenu, which holds others."""

    entry: Entry
    below: list[Item] = field(default_factory=list)
    is_submenu: bool = False


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
    found = re.search(r'^else\n\s*set default="([^"]*)"', config, re.MULTILINE)
    default = found or re.search(r'^set default="([^"]*)"', config, re.MULTILINE)
    text = default.group(1) if default else "0"
    return remembered.get("saved_entry", "0") if text == "${saved_entry}" else text


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
