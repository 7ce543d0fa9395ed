"""GRUB's menu entries, as text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .cmdline import command_line
from .words import as_the_kernel_gets, words_of


class GrubError(Exception):
    """GRUB isn't as it has to be; the text is a sentence for the operator."""


@dataclass(frozen=True)
class Entry:
    """A menu entry of GRUB, its lines as they are."""

    lines: tuple[str, ...]

    def _linux(self) -> int:
        """Return the number of the line that loads the kernel."""
        for number, line in enumerate(self.lines):
            if line.split(maxsplit=1)[:1] in (["linux"], ["linuxefi"]):
                return number
        raise GrubError("GRUB's default entry starts no Linux: look at `update-grub` and /boot/grub/grub.cfg.")

    @property
    def parameters(self) -> list[str]:
        """The kernel's command line, without the kernel's path."""
        _, _, *words = words_of(self.lines[self._linux()])
        return command_line(as_the_kernel_gets(words))

    @property
    def title(self) -> str:
        """What the menu shows."""
        return words_of(self.lines[0])[1]

    @property
    def id(self) -> str:
        """What it is called in GRUB's settings; empty where it has no id."""
        found = re.search(r"(?:--id|\$menuentry_id_option)[ =]('[^']*'|\S+)", self.lines[0])
        return found.group(1).strip("'") if found else ""

    def named(self, title: str, name: str, more: str = "") -> Entry:
        """Return this entry with another title and id, and more parameters."""
        lines = list(self.lines)
        lines[0] = f"menuentry '{title}' --class debian $menuentry_id_option '{name}' {{"
        number = self._linux()
        lines[number] = f"{lines[number].rstrip()} {more}".rstrip()
        return Entry(tuple(lines))

    def text(self) -> str:
        """Return the entry as it stands in a file."""
        return "\n".join(self.lines) + "\n"


def entries_of(text: str) -> list[Entry]:
    """Return the top-level menu entries of a GRUB configuration, in order; those in submenus are indented."""
    entries: list[Entry] = []
    lines: list[str] = []
    for line in text.splitlines():
        if lines or line.startswith("menuentry "):
            lines.append(line)
        if lines and line == "}":
            entries.append(Entry(tuple(lines)))
            lines = []
    return entries
