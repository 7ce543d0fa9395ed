"""What holds for every program: help and mistakes change nothing, and end in one sentence."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.wirebook.node.plugins.module_utils.programs import VERSION
from ansible_collections.wirebook.node.plugins.module_utils.programs.manual import manual_page
from ansible_collections.wirebook.node.plugins.module_utils.programs.program import Program
from ansible_collections.wirebook.node.plugins.module_utils.programs.table import PROGRAMS
from ansible_collections.wirebook.node.tests.unit.support.paths import ON_HOST, ROOT

from .conftest import FakeHost

Captured = pytest.CaptureFixture[str]
NIC = "0000:00:08.0"
# For each program: a command line with which it acts on the host of `eventful`, and for each command what it takes.
ACTS = {
    "node-doctor": ["--metrics", "metrics.prom"],
    "wirebook-affinity": ["apply"],
    "wirebook-clock": ["settle", "0"],
    "wirebook-hugepages": [],
    "wirebook-jitter": ["--seconds", "1"],
    "wirebook-nic": ["apply"],
    "wirebook-release": ["activate", "one"],
    "wirebook-smt": ["offline", "2"],
    "wirebook-vfio-bind": [NIC],
}
ARGUMENTS = {
    "wirebook-clock wait-phc": ["eth0"],
    "wirebook-clock settle": ["0"],
    "wirebook-release activate": ["one"],
    "wirebook-smt offline": ["2"],
    "wirebook-vfio-bind": [NIC],
}
# Values that only look right.
WRONG = [
    ["wirebook-affinity", "apply", "--chec"],
    ["wirebook-affinity", "aply"],
    ["wirebook-clock", "settle", "soon"],
    ["wirebook-clock", "settle", "-1"],
    ["wirebook-clock", "settle", "1.5"],
    ["wirebook-clock", "settle", "²"],
    ["wirebook-clock", "wait-phc", "../eth0"],
    ["wirebook-clock", "wait-phc", "a-name-of-16-let"],
    ["wirebook-clock", "wait-phc", ""],
    ["wirebook-hugepages", "apply"],
    ["wirebook-jitter", "--seconds", "0"],
    ["wirebook-jitter", "--seconds", "-5"],
    ["wirebook-jitter", "--seconds", "1e3"],
    ["wirebook-jitter", "--cpus", "two"],
    ["wirebook-jitter", "--cpus", "3-2"],
    ["wirebook-jitter", "--cpus", ""],
    ["wirebook-nic", "apply", "eth0", "eth1"],
    ["wirebook-nic", "apply", "e/0"],
    ["wirebook-nic", "eth0"],
    ["wirebook-release", "activate", "one", "--keep", "0"],
    ["wirebook-release", "activate", "one", "--timeout", "never"],
    ["wirebook-release", "remove", "one"],
    ["wirebook-smt", "offline", ""],
    ["wirebook-smt", "offline", "all"],
    ["wirebook-smt", "online", "2"],
    ["wirebook-vfio-bind", "eth0"],
    ["wirebook-vfio-bind", "00:08.0"],
    ["wirebook-vfio-bind", f"{NIC}/../{NIC}"],
    ["wirebook-vfio-bind", f"{NIC}\n"],
    ["node-doctor", "--json", "--html"],
    ["node-doctor", "--root"],
]


def starts() -> Iterator[list[str]]:
    """Yield the beginning of every command line: each program, and each of its commands."""
    for name, program in PROGRAMS.items():
        yield [name]
        for command in program.commands:
            yield [name, command.name]


def harmless() -> Iterator[list[str]]:
    """Yield the command lines that ask for help, and those that are mistakes."""
    for start in starts():
        yield [*start, "--help"]
        yield [*start, "-h"]
        yield [*start, *ARGUMENTS.get(" ".join(start), []), "--no-such-option"]
        yield [*start, *ARGUMENTS.get(" ".join(start), []), "one-too-many", "two-too-many"]
    for name in PROGRAMS:
        yield [name, "--version"]
    yield from WRONG


def run(line: list[str]) -> int:
    """Run a program as its entry script does, and return its status."""
    try:
        return PROGRAMS[line[0]].main(line[1:])
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.fixture
def eventful(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """Return a host on which every program finds something to do."""
    monkeypatch.chdir(host.root)
    host.install("pmc", "exit 1")
    host.install("taskset")
    host.install("ip")
    host.path("/run").mkdir()
    host.write("/etc/wirebook/affinity.json", '{"housekeeping": [0, 1], "devices": {}}')
    host.write("/proc/irq/default_smp_affinity", "f\n")
    clock = {"mode": "ptp-software", "interface": "x", "budget_ns": 1, "system_budget_ns": 1}
    host.write("/etc/wirebook/clock.json", json.dumps(clock | {"gate": "hold", "gate_seconds": 1}))
    host.write("/etc/wirebook/hugepages.conf", "/sys/kernel/mm/transparent_hugepage/enabled never\n")
    host.write("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n")
    host.write("/etc/wirebook/jitter.json", '{"cpus": "2-3", "housekeeping": "0-1", "budgets_us": {}}')
    nic = {"name": "eth8", "settings": {}, "values": {}, "flow_rules": []}
    host.write("/etc/wirebook/nic.json", json.dumps({NIC: nic}))
    host.path(f"/sys/bus/pci/devices/{NIC}/net/eth8").mkdir(parents=True)
    host.write("/sys/class/net/eth8/flags", "0x1002\n")
    host.write("/sys/bus/pci/drivers_probe", "")
    host.write("/sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2,6\n")
    host.write("/sys/devices/system/cpu/cpu6/online", "1\n")
    host.write("/etc/wirebook/desired.d/sysctl.json", '{"format": 1, "role": "sysctl", "knobs": []}')
    host.write("/opt/wirebook/releases/one/code", "venv\n")
    host.path("/opt/wirebook/releases/one/units").mkdir()
    return host


def test_the_table_has_every_program() -> None:
    assert set(ACTS) == set(PROGRAMS)
    lines = [line[0] for line in WRONG]
    assert set(lines) == set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_acts_when_it_is_asked_to(eventful: FakeHost, name: str) -> None:
    before = eventful.everything()
    root = ["--root", str(eventful.root)] if name == "node-doctor" else []
    run([name, *ACTS[name], *root])
    assert eventful.everything() != before


@pytest.mark.parametrize("line", list(harmless()), ids=" ".join)
def test_help_and_mistakes_change_nothing(eventful: FakeHost, capsys: Captured, line: list[str]) -> None:
    before = eventful.everything()
    status = run(line)
    assert eventful.everything() == before
    said = capsys.readouterr()
    if line[-1] in ("--help", "-h", "--version"):
        assert (status, said.err) == (0, "")
    else:
        assert (status, said.out) == (2, "")
        assert said.err.startswith(f"{line[0]}")
        assert said.err.endswith("--help`.\n")
        assert said.err.count("\n") == 1 + line[-1].count("\n")


# What Python does to the world, by its audit events (sys.addaudithook). A file is opened to write by flag 1, 2 or 64.
WATCHED = """
import json, sys
sys.path[:0] = [sys.argv[1]]
from wirebook_node.programs.table import PROGRAMS
done = []
def watch(event, arguments):
    if event == "open" and arguments[2] & 67 or event in (
        "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.kill", "os.remove", "os.rename",
        "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate", "os.utime",
        "shutil.move", "shutil.copyfile", "shutil.rmtree", "socket.bind", "socket.connect", "fcntl.flock",
    ):
        done.append([event, str(arguments)])
sys.addaudithook(watch)
for line in json.loads(sys.argv[2]):
    try:
        PROGRAMS[line[0]].main(line[1:])
    except SystemExit:
        pass
print("\\n" + json.dumps(done))
"""


def watched(lines: list[list[str]]) -> list[list[str]]:
    """Run programs on this very machine, and return what they did to it."""
    command = [sys.executable, "-IBc", WATCHED, str(ON_HOST), json.dumps(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    events: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return events


def test_help_and_mistakes_open_nothing_to_write_and_start_nothing(tmp_path: Path) -> None:
    assert watched(list(harmless())) == []
    # The watch sees what there is to see.
    (tmp_path / "sysctl.json").write_text('{"format": 1, "role": "sysctl", "knobs": []}')
    metrics = ["node-doctor", "--metrics", str(tmp_path / "metrics.prom"), "--desired", str(tmp_path)]
    assert {event for event, _ in watched([metrics])} >= {"open", "os.rename"}


@pytest.mark.parametrize(
    "line",
    [
        ["wirebook-affinity", "apply"],
        ["wirebook-affinity", "apply", "--check"],
        ["wirebook-affinity", "watch"],
        ["wirebook-clock", "gate"],
        ["wirebook-clock", "settle", "0"],
        ["wirebook-hugepages"],
        ["wirebook-hugepages", "--check"],
        ["wirebook-jitter"],
        ["wirebook-nic", "apply"],
        ["wirebook-release", "activate", "one"],
        ["wirebook-release", "list"],
        ["wirebook-release", "rollback"],
        ["wirebook-vfio-bind", NIC],
        ["node-doctor", "--root", "."],
    ],
    ids=" ".join,
)
def test_a_host_that_was_never_deployed_gets_a_sentence(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: Captured, line: list[str]
) -> None:
    monkeypatch.chdir(host.root)
    before = host.everything()
    assert run(line) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"{line[0]}: ")
    assert said.err.count("\n") == 1
    assert host.everything() == before


@pytest.mark.parametrize("file", ["affinity", "clock", "jitter", "nic"])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", "[1]"])
def test_a_damaged_file_of_a_role_is_a_sentence(eventful: FakeHost, capsys: Captured, file: str, text: str) -> None:
    eventful.write(f"/etc/wirebook/{file}.json", text)
    line = [f"wirebook-{file}", *ACTS[f"wirebook-{file}"]]
    if (file, text) == ("nic", "{}"):
        assert run(line) == 0  # a host without data NICs
        return
    assert run(line) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"wirebook-{file}: /etc/wirebook/{file}.json is ")
    assert said.endswith(": deploy this host again.\n")


def test_the_version_is_the_projects() -> None:
    assert yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"] == VERSION
    assert f"version: '{VERSION}'" in (ROOT / "app/meson.build").read_text()


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
class TestTheManual:
    def test_it_is_as_the_program_is(self, program: Program) -> None:
        page = ROOT / f"roles/programs/files/man/{program.name}.8"
        assert page.read_text() == manual_page(program), "run `make manuals`"

    def test_it_tells_all_that_help_tells(self, program: Program, capsys: Captured) -> None:
        page = manual_page(program).replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")
        for start in starts():
            if start[0] == program.name:
                run([*start, "--help"])
        words = capsys.readouterr().out.split()
        options = {word.strip("[],|") for word in words if word.strip("[]").startswith("--")}
        assert options >= {"--help", "--version"}
        assert {option for option in options if option not in page} == set()
        assert all(f".TP\n{status}\n" in page for status in (0, 1, 2))

    @pytest.mark.skipif(shutil.which("groff") is None, reason="groff isn't installed here")
    def test_the_formatter_has_nothing_to_say_against_it(self, program: Program) -> None:
        command = ["groff", "-man", "-ww", "-Tascii", "-P-cbou", "-"]
        done = subprocess.run(command, input=manual_page(program), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "EXIT STATUS" in done.stdout
