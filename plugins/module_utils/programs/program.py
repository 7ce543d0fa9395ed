"""What all programs share: how their arguments are described, how they are read, and how a program ends.

A program describes its arguments as data. argparse reads them, and the manual page is written from them (manual.py), so
that neither can tell something else than the other.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from . import VERSION

DONE, FAILED, MISTAKE = 0, 1, 2
STATUSES = {
    DONE: "It is done, or there was nothing to do.",
    FAILED: "Something failed while it ran; one sentence on standard error says what.",
    MISTAKE: "It was asked for something that it can't do; nothing was changed, and one sentence says why.",
}


class FailedError(Exception):
    """Something failed while the program ran; the text is a sentence for the operator."""


class MistakeError(Exception):
    """The program was asked for something that it can't do, and changed nothing; the text is for the operator."""


@dataclass(frozen=True)
class Argument:
    """One argument: a name in capitals, or an option. `settings` are those of argparse's add_argument()."""

    name: str
    help: str
    settings: dict[str, Any] = field(default_factory=dict)
    # The options of one such word exclude each other.
    one_of: str = ""

    @property
    def is_option(self) -> bool:
        """Whether it begins with hyphens."""
        return self.name.startswith("-")

    @property
    def value(self) -> str:
        """What stands for its value in help and manual; nothing for a switch."""
        if self.settings.get("action") == "store_true":
            return ""
        return str(self.settings.get("metavar", self.name)).removeprefix("--").upper()

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Add it to a parser, by its name in small letters."""
        if self.is_option:
            parser.add_argument(self.name, help=self.help, **self.settings)
        else:
            parser.add_argument(self.name.lower(), metavar=self.name, help=self.help, **self.settings)


CHECK = Argument("--check", "only print what would be changed", {"action": "store_true"})


@dataclass(frozen=True)
class Command:
    """One of a program's commands."""

    name: str
    help: str
    arguments: tuple[Argument, ...] = ()


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one sentence, and doesn't accept the beginning of an option's name."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """End with status 2, having changed nothing."""
        self.exit(MISTAKE, f"{self.prog}: {message}: see `{self.prog} --help`.\n")


@dataclass(frozen=True)
class Program:
    """A program: what it is called and does, its arguments or its commands, and the function that runs it."""

    name: str
    # As it stands in the list of `man -k`: small, without a full stop.
    summary: str
    # Paragraphs.
    description: tuple[str, ...]
    run: Callable[[argparse.Namespace], int]
    arguments: tuple[Argument, ...] = ()
    commands: tuple[Command, ...] = ()
    statuses: dict[int, str] = field(default_factory=lambda: STATUSES)
    files: dict[str, str] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    see_also: tuple[str, ...] = ()

    def parser(self) -> Parser:
        """Return the parser of its command line."""
        parser = Parser(
            prog=self.name,
            description=" ".join(self.description),
            epilog="Exit status: " + " ".join(f"{status}: {text}" for status, text in self.statuses.items()),
        )
        parser.add_argument("--version", action="version", version=f"{self.name} (wirebook) {VERSION}")
        _add(parser, self.arguments)
        if self.commands:
            commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
            for command in self.commands:
                _add(commands.add_parser(command.name, help=command.help, description=command.help), command.arguments)
        return parser

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Run it with these arguments, those of the command line by default, and return its exit status."""
        arguments = self.parser().parse_args(argv)
        try:
            return self.run(arguments)
        except MistakeError as error:
            return self._end(MISTAKE, str(error))
        except FailedError as error:
            return self._end(FAILED, str(error))
        except PermissionError as error:
            return self._end(MISTAKE, f"{error.filename or 'this'} isn't allowed to you: run it as root.")
        except OSError as error:
            return self._end(FAILED, f"{error.filename or 'the system'}: {error.strerror or error}.")
        except subprocess.CalledProcessError as error:
            return self._end(FAILED, f"`{' '.join(map(str, error.cmd))}` failed with status {error.returncode}.")
        except KeyboardInterrupt:
            return 130

    def _end(self, status: int, sentence: str) -> int:
        print(f"{self.name}: {sentence}", file=sys.stderr)
        return status


def _add(parser: Parser, arguments: tuple[Argument, ...]) -> None:
    groups: dict[str, argparse._ActionsContainer] = {"": parser}
    for argument in arguments:
        if argument.one_of not in groups:
            groups[argument.one_of] = parser.add_mutually_exclusive_group()
        argument.add_to(groups[argument.one_of])
