"""Every command that the documentation tells somebody to run can be run where it says so.

`make …`: the target is there, and reads those variables. `wirebook …` and the programs of a node: their own parsers
take it. What is to be run on a node is in tests/node-commands.yml, whose commands are run on one. Whatever else is told
is marked as run by no test, by a ° behind it.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from ansible_collections.wirebook.node.plugins.module_utils.programs.table import PROGRAMS
from ansible_collections.wirebook.node.tests.unit.support.paths import ROOT
from wirebook.cli import command_parser

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("roles/*/README.md")),
]
MARK = "°"
# Programs of the system: what begins with one of them, and goes on, is a command.
SYSTEM = {
    "adduser", "ansible-playbook", "apt", "apt-get", "cat", "chown", "cp", "curl", "dmesg", "docker", "dpdk-testpmd",
    "driverctl", "echo", "ethtool", "export", "git", "grep", "ip", "journalctl", "lscpu", "lspci", "modprobe", "mount",
    "pgrep", "ps", "pytest", "python", "python3", "rm", "sed", "ssh", "ssh-copy-id", "ssh-keygen", "sudo", "sysctl",
    "systemctl", "systemd-analyze", "tar", "tcpdump", "tee", "tshark", "udevadm", "usermod", "wireshark",
    ".venv/bin/python",
}  # fmt: skip
# Words that stand for something: what the parsers are given instead.
MEANT = {
    "VENUE": "binance", "NAME": "binance", "FILE": "file", "ID": "one", "LIST": "2-3", "N": "5", "SECONDS": "5",
    "ADDRESS": "0000:3b:00.0", "NIC": "eth0", "INTERFACE": "eth0",
}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """A command as a page tells it."""

    page: Path
    line: int
    text: str
    marked: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}: {self.text}"

    @property
    def program(self) -> str:
        return self.text.split()[0]


def told_by(page: Path) -> list[Told]:
    """Return the commands of a page: of its inline code, and of blocks without a language."""
    told, fence = [], None
    # A command that goes on in the next line is one.
    whole = re.sub(r"\\\n\s*", "", page.read_text())
    for number, line in enumerate(whole.splitlines(), 1):
        if opened := re.match(r"\s*```(\w*)", line):
            fence = opened.group(1) if fence is None else None
            continue
        if fence is None:
            spans = [(match.group(1), line[match.end() :].startswith(MARK)) for match in re.finditer("`([^`]+)`", line)]
        else:
            text, _, comment = line.strip().partition(" # ")
            spans = [(text.strip(), comment.endswith(MARK))] if fence == "" else []
        commands = [(text, marked) for text, marked in spans if is_command(text)]
        told += [
            Told(page, number, text, marked)
            for text, marked in commands
            if fence is not None or is_for_operators(page, text.split()[0])
        ]
    return told


def is_command(text: str) -> bool:
    """Whether a text is a command, and not the name of a program, a message or a file."""
    program, _, rest = text.partition(" ")
    if program == "make":
        return True
    if program == "wirebook":
        return re.match(r"(--|[a-z]+( |$))", rest) is not None and "running" not in rest
    return bool(rest) and (program in PROGRAMS or program in SYSTEM)


def is_for_operators(page: Path, program: str) -> bool:
    """Whether a page tells people to run a command of the system, and not how a role works."""
    return program not in SYSTEM or not page.is_relative_to(ROOT / "roles")


TOLD = [told for page in PAGES for told in told_by(page)]
NODE = yaml.safe_load((ROOT / "tests/node-commands.yml").read_text())
RUN_ON_NODE = {entry["command"] for entries in NODE.values() for entry in entries}


def words(text: str) -> list[str]:
    """Return a command's words up to a pipe, without `…`, and what is meant for what only stands for something."""
    found = shlex.split(re.split(r" [|>] ", text)[0].replace("…", ""))
    return [MEANT.get(word, word) for word in found]


def only(*programs: str) -> list[Told]:
    return [told for told in TOLD if told.program in programs]


def test_pages_are_read() -> None:
    texts = [told.text for told in TOLD]
    assert "make deploy HOST=lab1" in texts
    assert "node-doctor --role sysctl" in texts
    assert "wirebook check --config /etc/wirebook/engine.toml" in texts
    assert any(text.startswith("dpdk-testpmd --lcores") for text in texts)


@pytest.fixture(scope="module")
def targets() -> set[str]:
    """Return the targets of the Makefile, as make itself lists them."""
    command = ["make", "--print-data-base", "--question", "help"]
    base = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"(?m)^([a-z][a-z-]*):", base))


@pytest.mark.parametrize("told", only("make"), ids=str)
def test_make_has_the_target_and_reads_the_variables(told: Told, targets: set[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in shlex.split(told.text.replace("[", "").replace("]", "").replace("…", "x"))[1:]:
        variable, assigns, _ = word.partition("=")
        if assigns:
            assert re.search(rf"\$\(({variable}\)|\w+ .*\b{variable}\b|.*\$\({variable}\))", makefile), variable
        else:
            assert word in targets


def parse(parser: argparse.ArgumentParser, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Parse, and return what the parser says against it."""
    try:
        parser.parse_args(arguments)
    except SystemExit as ended:
        return capsys.readouterr().err if ended.code else ""
    return ""


@pytest.mark.parametrize("told", only("wirebook"), ids=str)
def test_the_engines_command_takes_it(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = words(told.text)[1:]
    said = parse(command_parser(), arguments, capsys)
    # A command alone is named, not told to be run: what it needs isn't said.
    assert said == "" or (len(arguments) == 1 and "required" in said)
    # argparse takes what is only the beginning of an option.
    capsys.readouterr()
    parse(command_parser(), [*arguments[:1], "--help"], capsys)
    known = re.findall("--[a-z-]+", capsys.readouterr().out)
    if not arguments[0].startswith("-"):
        assert [word for word in arguments if word.startswith("--") and word not in known] == []


@pytest.mark.parametrize("told", only(*PROGRAMS), ids=str)
def test_the_programs_of_a_node_take_it(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    if "[" in told.text:  # a synopsis
        known = PROGRAMS[told.program].parser().format_help()
        assert {option for option in re.findall(r"--[a-z-]+", told.text) if option not in known} == set()
        return
    arguments = words(told.text)[1:]
    said = parse(PROGRAMS[told.program].parser(), arguments, capsys)
    assert said == "" or (len(arguments) == 1 and "required" in said)


@pytest.mark.parametrize("told", only(*SYSTEM), ids=str)
def test_a_command_of_the_system_is_run_on_a_node_or_marked_as_not_run(told: Told) -> None:
    if told.program == "ansible-playbook":
        arguments = [{"INVENTORY": "inventory/lab", "HOST": "lab1"}.get(word, word) for word in shlex.split(told.text)]
        arguments[0] = str(Path(sys.executable).parent / arguments[0])
        subprocess.run([*arguments, "--syntax-check"], cwd=ROOT, check=True, capture_output=True)
        return
    assert told.marked != (told.text in RUN_ON_NODE), f"mark it with {MARK}, or add it to tests/node-commands.yml"


def test_what_is_run_on_a_node_is_told_somewhere() -> None:
    texts = {told.text for told in TOLD}
    assert {command for command in RUN_ON_NODE if command not in texts} == set()
