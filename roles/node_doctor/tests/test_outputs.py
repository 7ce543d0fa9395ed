"""The page and the metrics."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tree import ROLE, Tree

sys.path.insert(0, str(ROLE.parent / "topology/tests"))

from fake_host import add_nic, write


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a host of two sockets with SMT, CPUs 2 and 3 isolated, a book on 3, and a knob that is off."""
    tree = Tree(tmp_path)
    system = tmp_path / "sys/devices/system"
    write(tmp_path / "etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n')
    write(tmp_path / "proc/sys/kernel/osrelease", "6.12.1\n")
    write(system / "cpu/online", "0-3\n")
    write(system / "cpu/isolated", "2-3\n")
    for node, cpus in enumerate(("0-1", "2-3")):
        write(system / f"node/node{node}/cpulist", cpus + "\n")
        write(system / f"node/node{node}/meminfo", f"Node {node} MemTotal:  2097152 kB\n")
        write(system / f"node/node{node}/hugepages/hugepages-2048kB/nr_hugepages", f"{node * 192}\n")
        for cpu in range(2 * node, 2 * node + 2):
            write(system / f"cpu/cpu{cpu}/topology/physical_package_id", f"{node}\n")
            write(system / f"cpu/cpu{cpu}/topology/thread_siblings_list", cpus + "\n")
    add_nic(tmp_path, "enp0s4", "0000:00:04.0", "igb", 1, phc="ptp0")
    write(tmp_path / "sys/devices/pci0000:00/0000:00:04.0/msi_irqs/24", "msix\n")
    tree.write("/proc/irq/24/smp_affinity_list", "0-1\n")
    tree.write("/proc/irq/24/enp0s4/x", "")
    tree.install("systemctl", "echo MainPID=77")
    tree.write("/proc/77/status", "Cpus_allowed_list:\t3\n")
    tree.write("/x", "2\n")
    tree.desire(
        {"name": "affinity", "probe": "affinity", "unit": "wirebook-book.service", "want": "3"},
        {"name": 'off "<b>', "probe": "text", "path": "/x", "want": "1", "risk": "It runs hot."},
        {"name": "y", "probe": "text", "path": "/y", "want": "1", "needs": "/y", "lacking": "no y here"},
    )
    return tree


class Page(HTMLParser):
    """Collects the text of elements by class, and whatever the page would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [tag for name, _ in attrs if name in ("src", "href")]
        self.text += "|"

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_draws_the_host_and_fetches_nothing(tree: Tree) -> None:
    done = tree.run("--html")
    assert done.returncode == 1
    page = Page(done.stdout)
    assert page.fetched == []
    assert "@import" not in done.stdout
    assert "url(" not in done.stdout
    for told in (
        "wirebook-book",
        "socket 1",
        "node 1",
        "hugepages 192 of 2048kB",
        "igb · node 1 · clock ptp0 · 1 interrupts on CPU 0, 1",
        'Risk accepted: off "<b>. It runs hot.',
        "no y here",
    ):
        assert told in page.text, told
    assert re.search(r"CPU 3\|?wirebook-book", page.text)
    assert re.search(r"CPU 2\|?free", page.text)
    assert re.search(r"CPU 0\|?housekeeping\|\|shared, 1 interrupts", page.text)


def test_metrics_are_written_in_one_step_for_prometheus(tree: Tree) -> None:
    target = tree.root / "textfile/wirebook.prom"
    target.parent.mkdir()
    done = tree.run("--metrics", str(target))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    lines = target.read_text().splitlines()
    assert 'wirebook_knob_off{role="sysctl",knob="affinity"} 0' in lines
    assert 'wirebook_knob_off{role="sysctl",knob="off \\"<b>"} 1' in lines
    assert not [line for line in lines if 'knob="y"' in line]
    assert 'wirebook_knobs{status="NOT-RUN"} 1' in lines
    names = {re.split(r"[ {]", line)[0] for line in lines if not line.startswith("#")}
    for name in names:
        assert [line for line in lines if line.startswith(f"# HELP {name} ")]
        assert f"# TYPE {name} gauge" in lines
    assert [path.name for path in target.parent.iterdir()] == ["wirebook.prom"]
    assert target.stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_not_there_is_told(tree: Tree) -> None:
    done = tree.run("--metrics", str(tree.root / "nowhere/x.prom"))
    assert done.returncode == 2
    assert done.stderr.startswith("node-doctor: ")
    assert done.stderr.count("\n") == 1


def test_only_one_kind_of_output_is_asked_for(tree: Tree) -> None:
    assert tree.run("--json", "--html").returncode == 2
