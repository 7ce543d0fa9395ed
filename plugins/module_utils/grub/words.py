"""GRUB's script, as far as a line of it is words (info grub, "Quoting")."""

from __future__ import annotations

import re

# What stands for something else: a variable, a positional parameter. What is unknown is empty, and those that Debian's
# menu uses in a line that loads a kernel are (vt_handoff of Ubuntu).
_VARIABLE = re.compile(r"\$(?:\w+|\{[^}]*\}|[@#?*])", re.ASCII)
# Behind a backslash in double quotes.
_ESCAPED_IN_QUOTES = frozenset('$"\\')
_ENDS_A_COMMAND = frozenset(";&|\n")


def words_of(text: str) -> list[str]:
    """Return the words of a command, as GRUB hands them to it."""
    words: list[str] = []
    word: str | None = None
    quote, place = "", 0
    while place < len(text):
        here = text[place]
        variable = None if quote == "'" else _VARIABLE.match(text, place)
        place += 1
        if variable:
            place, word = variable.end(), word or ""
        elif quote:
            if here == quote:
                quote = ""
            elif here == "\\" and quote == '"' and text[place : place + 1] in _ESCAPED_IN_QUOTES and place < len(text):
                word, place = f"{word}{text[place]}", place + 1
            else:
                word = f"{word}{here}"
        elif here in "\"'":
            quote, word = here, word or ""
        elif here == "\\" and place < len(text):
            word, place = f"{word or ''}{text[place]}", place + 1
        elif here in _ENDS_A_COMMAND or (here == "#" and word is None):
            break
        elif here.isspace():
            words += [] if word is None else [word]
            word = None
        else:
            word = f"{word or ''}{here}"
    return words if word is None else [*words, word]


def as_the_kernel_gets(words: list[str]) -> str:
    """Return the command line that GRUB makes of its words (grub_create_loader_cmdline() in its lib/cmdline.c)."""
    escaped = [re.sub(r"([\\'\"])", r"\\\1", word) for word in words]
    return " ".join(f'"{word}"' if " " in word else word for word in escaped)
