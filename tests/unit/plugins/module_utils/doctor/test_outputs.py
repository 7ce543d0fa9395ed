"""The page and the metrics."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ansible_collections.wirebook.node.tests.unit.support.fake_host import add_nic, write
from ansible_collections.wirebook.node.tests.unit.support.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a host of two sockets with SMT, CPUs 2 and 3 isolated, a book on 3, and a knob that is off."""
    tree = Tree(tmp_path)
    system = tmp_path / "sys/devices/system"
    write(tmp_path / "etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n')
    write(tmp_path / "proc/sys/kernel/osrelease", "6.12.1\n")
    write(system / "cpu/online", "0-3\n")
    write(system / "cpu/present", "0-4\n")
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
    """Collects the text of a page, a bar where an element begins, and whatever the page would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [tag for name, value in attrs if name in ("src", "href") and not (value or "").startswith("#")]
        self.text += "|"

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(tree: Tree) -> Page:
    done = tree.run("--html")
    assert (done.returncode, done.stderr) == (1, "")
    assert "@import" not in done.stdout
    assert "url(" not in done.stdout
    return Page(done.stdout)


def test_the_page_fetches_nothing(page: Page) -> None:
    assert page.fetched == []


def test_the_page_draws_the_host(page: Page) -> None:
    for told in (
        "socket 1",
        "|node 1 |2 GiB of memory, 19% in hugepages: 192 of 2 MiB",
        "|node 0 |2 GiB of memory, no hugepages",
        "|3|book",
        "|2|free",
        "offline: CPU 4",
        "|0|housekeeping|1 IRQ",
        "|enp0s4 |0000:00:04.0 igb||clock ptp0 · 1 IRQ on CPU 0-1",
    ):
        assert told in page.text, told


def test_the_page_draws_a_nic_on_its_node_with_what_is_off(tree: Tree) -> None:
    tree.desire({"name": "driver", "probe": "driver", "pci": "0000:00:04.0", "want": "vfio-pci"})
    page = Page(tree.run("--html").stdout)
    assert page.text.index("socket 1") < page.text.index("|enp0s4 |")
    assert "|0000:00:04.0 igb |1 knob off||data · " in page.text


def test_the_page_draws_memory_without_cpus(tree: Tree) -> None:
    tree.write("/sys/devices/system/node/node7/cpulist", "\n")
    tree.write("/sys/devices/system/node/node7/meminfo", f"Node 7 MemTotal:  {64 << 20} kB\n")
    page = Page(tree.run("--html").stdout)
    assert "nodes without CPUs" in page.text
    assert "|node 7 |64 GiB of memory, no hugepages" in page.text


def test_the_page_begins_with_what_is_off(page: Page) -> None:
    off = page.text.index('off "<b>')
    assert page.text.index("What is off") < off < page.text.index("The host")
    assert "|desired|" in page.text[off:]
    assert 'Risk accepted: off "<b>. It runs hot.' in page.text
    assert "no y here" in page.text


def test_of_the_roles_those_with_failures_come_first(tree: Tree) -> None:
    tree.desire({"name": "a", "probe": "text", "path": "/x", "want": "2"}, role="affinity")
    page = Page(tree.run("--html").stdout)
    assert page.text.index("|sysctl |1 FAIL, 1 NOT-RUN, 1 PASS") < page.text.index("|affinity |1 PASS")


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
