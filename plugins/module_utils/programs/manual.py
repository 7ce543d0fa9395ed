"""The programs' manual pages (man-pages(7)), written from the same data as their help."""

from __future__ import annotations

from collections.abc import Iterator

from . import VERSION
from .program import Argument, Command, Program

STANDARD = (
    Argument("--help", "print help and change nothing", {"action": "store_true"}),
    Argument("--version", "print the version and change nothing", {"action": "store_true"}),
)


def manual_page(program: Program) -> str:
    """Return a program's manual page of section 8, as roff."""
    return "\n".join(_lines(program)) + "\n"


def _lines(program: Program) -> Iterator[str]:
    yield f'.TH {program.name.upper()} 8 "" "wirebook {VERSION}" "wirebook"'
    yield ".SH NAME"
    yield f"{_escaped(program.name)} \\- {_escaped(program.summary)}"
    yield ".SH SYNOPSIS"
    # Neither filled nor hyphenated: a line is a command.
    yield ".nf"
    for command in program.commands or (Command("", ""),):
        arguments = (*program.arguments, *command.arguments)
        yield " ".join([rf"\fB{_escaped(f'{program.name} {command.name}'.strip())}\fR", *_usage(arguments)])
    yield ".fi"
    yield ".SH DESCRIPTION"
    yield from _paragraphs(program.description)
    if program.commands:
        yield ".SH COMMANDS"
        for command in program.commands:
            yield from _entry(" ".join([rf"\fB{_escaped(command.name)}\fR", *_usage(command.arguments)]), command.help)
            yield ".RS"
            for argument in command.arguments:
                yield from _argument(argument)
            yield ".RE"
    yield ".SH OPTIONS"
    for argument in (*program.arguments, *STANDARD):
        yield from _argument(argument)
    yield ".SH EXIT STATUS"
    for status, text in program.statuses.items():
        yield from _entry(rf"\fB{status}\fR", text)
    if program.files:
        yield ".SH FILES"
        for path, text in program.files.items():
            yield from _entry(rf"\fI{_escaped(path)}\fR", text)
    if program.examples:
        yield ".SH EXAMPLES"
        for command_line, text in program.examples.items():
            yield from _entry(rf"\fB{_escaped(command_line)}\fR", text)
    if program.see_also:
        yield ".SH SEE ALSO"
        yield ", ".join(rf"\fB{_escaped(page[:-3])}\fR{page[-3:]}" for page in sorted(program.see_also))


def _usage(arguments: tuple[Argument, ...]) -> Iterator[str]:
    """Yield how each argument stands in the synopsis; those that exclude each other stand in one bracket."""
    groups: dict[str, list[Argument]] = {}
    for argument in arguments:
        groups.setdefault(argument.one_of or argument.name, []).append(argument)
    for group in groups.values():
        texts = " | ".join(_term(argument) for argument in group)
        must = not group[0].is_option and group[0].settings.get("nargs") != "?"
        many = " ..." if group[0].settings.get("action") == "append" else ""
        yield f"{texts}{many}" if must else f"[{texts}{many}]"


def _term(argument: Argument) -> str:
    """Return an argument's name and what stands for its value."""
    if not argument.is_option:
        return rf"\fI{_escaped(argument.name)}\fR"
    value = rf" \fI{_escaped(argument.value)}\fR" if argument.value else ""
    return rf"\fB{_escaped(argument.name)}\fR{value}"


def _argument(argument: Argument) -> Iterator[str]:
    yield from _entry(_term(argument), argument.help[:1].upper() + argument.help[1:] + ".")


def _entry(term: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield term
    yield _escaped(text)


def _paragraphs(texts: tuple[str, ...]) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number:
            yield ".PP"
        yield _escaped(text)


def _escaped(text: str) -> str:
    r"""Return text as roff takes it: a hyphen is written \- to stay one, and no line begins with a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text
