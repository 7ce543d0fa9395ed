"""The measurement's parts: what the tools wrote (data/ is of rt-tests 2.4 and 2.6), command, plot, verdict."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES
from ansible_collections.wirebook.node.tests.unit.support.run_module import run_module
from ansible_collections.wirebook.node.tests.unit.support.tree import Tree
from wirebook_node.jitter.plot import plot
from wirebook_node.jitter.results import ResultError, read_tool, worst

ROLE = ROLES / "jitter"
DATA = Path(__file__).parent / "data"
VM = "processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n"
SVG = "{http://www.w3.org/2000/svg}"
METAL = "processor\t: 0\nflags\t\t: fpu vme lahf_lm\n"


def found(tool: str, version: str) -> dict[str, Any]:
    return read_tool(tool, (DATA / f"{tool}-{version}.json").read_text())


class TestWhatTheToolsWrote:
    @pytest.mark.parametrize(
        ("tool", "version", "longest"),
        [
            ("oslat", "2.40", (50331, "1")),
            ("oslat", "2.60", (613718, "2")),
            ("cyclictest", "2.40", (192, "1")),
            ("cyclictest", "2.60", (145139, "3")),
        ],
    )
    def test_the_longest_latency_and_its_cpu(self, tool: str, version: str, longest: tuple[int, str]) -> None:
        assert worst(found(tool, version)) == longest
        assert found(tool, version)["command"].startswith(f"{tool} ")

    def test_cyclictests_samples_beyond_its_histogram_are_counted(self) -> None:
        cpu = found("cyclictest", "2.40")["cpus"]["1"]
        assert (cpu["min"], cpu["avg"], cpu["overflow"]) == (9, 23.16, 81)
        assert sum(cpu["histogram"].values()) + 81 == 15000

    def test_oslat_keeps_them_in_its_last_bucket(self) -> None:
        cpu = found("oslat", "2.40")["cpus"]["1"]
        assert (cpu["overflow"], cpu["histogram"]["32"]) == (0, 415)

    def test_cpus_come_in_the_order_of_their_numbers(self) -> None:
        report = json.loads((DATA / "oslat-2.60.json").read_text())
        thread = report["thread"]["0"]
        report["thread"] = {str(number): thread | {"cpu": cpu} for number, cpu in enumerate((10, 9, 2))}
        assert list(read_tool("oslat", json.dumps(report))["cpus"]) == ["2", "9", "10"]

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "{}", '{"return_code": 0}', '{"return_code": 0, "thread": {"0": {}}}']
    )
    def test_what_is_no_report_is_a_sentence(self, text: str) -> None:
        with pytest.raises(ResultError, match="oslat wrote no report that can be read"):
            read_tool("oslat", text)

    def test_a_tool_that_failed_or_measured_nothing(self) -> None:
        with pytest.raises(ResultError, match="status 1"):
            read_tool("oslat", '{"return_code": 1, "thread": {}}')
        with pytest.raises(ResultError, match="measured no CPU"):
            read_tool("oslat", '{"return_code": 0, "thread": {}}')


def result(**changes: Any) -> dict[str, Any]:
    """Return a result as the command keeps it: what the twin's tools found."""
    return {
        "format": 1,
        "host": "colo1",
        "time": time.time() - 3 * 86400,
        "time_utc": "2026-11-22 07:25:37 UTC",
        "seconds": 60,
        "kernel": "6.12.117+deb13-amd64",
        "command_line": "ro isolcpus=2-3",
        "load": "taskset --cpu-list 0,1 hackbench",
        "budgets_us": {"oslat": 20, "cyclictest": 20},
        "tools": {"oslat": found("oslat", "2.60"), "cyclictest": found("cyclictest", "2.60")},
    } | changes


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314  # of our own making


class TestThePlot:
    def test_the_worst_cpus_of_each_tool_and_the_budgets(self) -> None:
        root = parse(plot(result(), {"oslat": "FAIL <& 1>", "cyclictest": "PASS"}))
        texts = [element.text for element in root.iter(f"{SVG}text")]
        assert texts.count("budget 20 us") == 2
        assert "FAIL <& 1>" in texts
        assert "CPU 2: 613,718 us" in texts
        assert "colo1: 60 s under load, 2026-11-22 07:25:37 UTC" in texts

    def test_a_longer_latency_lies_further_right_and_all_is_within_the_picture(self) -> None:
        root = parse(plot(result(), {}))
        for line in root.iter(f"{SVG}polyline"):
            places = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
            assert [x for x, _ in places] == sorted(x for x, _ in places)
            assert all(0 <= x <= 900 and 0 <= y <= 300 for x, y in places)

    def test_nothing_is_drawn_where_no_sample_is(self) -> None:
        tools = {"oslat": found("oslat", "2.60")}
        tools["oslat"]["cpus"] = {"2": {"max": 900, "histogram": {"1": 1000, "2": 100, "3": 10, "700": 1}}}
        root = parse(plot(result(tools=tools), {}))
        (line,) = root.iter(f"{SVG}polyline")
        assert len(line.attrib["points"].split()) == 3
        # The sample of 700 us, and the longest of all on the axis and in the legend.
        assert [circle.attrib["r"] for circle in root.iter(f"{SVG}circle")] == ["1.5", "4", "4"]

    def test_of_many_cpus_the_worst_are_named_and_keep_their_colour_in_each_panel(self) -> None:
        tools = {tool: found(tool, "2.60") for tool in ("oslat", "cyclictest")}
        for factor, tool in enumerate(tools, start=1):
            cpu = tools[tool]["cpus"]["2"]
            tools[tool]["cpus"] = {str(number): cpu | {"max": factor * (100 - number)} for number in range(2, 64)}
        root = parse(plot(result(tools=tools), {}))
        texts = [element.text or "" for element in root.iter(f"{SVG}text")]
        named = [text for text in texts if text.startswith("CPU ")]
        assert named[:7] == [f"CPU {number}: {100 - number} us" for number in range(2, 9)]
        assert [text for text in texts if "others" in text] == ["55 others: at most 91 us", "55 others: at most 182 us"]
        keys = [circle.attrib["fill"] for circle in root.iter(f"{SVG}circle") if circle.attrib["cx"] == "746"]
        assert len(keys) == 16
        assert keys[:8] == keys[8:]

    def test_the_controllers_module_writes_it_once(self, tmp_path: Path) -> None:
        source, plotted = tmp_path / "jitter-1.json", tmp_path / "jitter-1.svg"
        source.write_text(json.dumps(result()))
        arguments = {"src": str(source), "dest": str(plotted), "verdicts": {"oslat": "PASS"}}
        assert run_module("jitter_plot", arguments | {"_ansible_check_mode": True})["changed"]
        assert not plotted.exists()
        assert run_module("jitter_plot", arguments)["changed"]
        parse(plotted.read_text())
        assert not run_module("jitter_plot", arguments)["changed"]

    def test_the_module_says_what_to_do_about_a_file_that_is_no_measurement(self, tmp_path: Path) -> None:
        source = tmp_path / "jitter-1.json"
        for text in ("", "[]", "{}"):
            source.write_text(text)
            said = run_module("jitter_plot", {"src": str(source), "dest": str(tmp_path / "jitter-1.svg")})
            assert said["failed"]
            assert said["msg"].endswith(": measure again with `make jitter`.")


class TestTheVerdict:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Tree:
        tree = Tree(tmp_path)
        tree.write("/proc/cpuinfo", METAL)
        tree.write("/proc/cmdline", "ro isolcpus=2-3\n")
        tree.write("/proc/sys/kernel/osrelease", "6.12.117+deb13-amd64\n")
        self.desire(tree, 613718)
        return tree

    def desire(self, tree: Tree, budget: int, cpus: str = "2-3") -> None:
        tree.desire(
            {"name": "j", "probe": "jitter", "tool": "oslat", "path": "/var/jitter", "cpus": cpus, "want": budget}
        )

    def keep(self, tree: Tree, name: str = "20261122T072537Z.json", **changes: Any) -> None:
        tree.write(f"/var/jitter/{name}", json.dumps(result(**changes)))

    def test_within_the_budget_on_bare_metal(self, tree: Tree) -> None:
        self.keep(tree)
        knob = tree.only()
        assert (knob["status"], knob["running"]) == (
            "PASS",
            "max 613718 us on CPU 2, 60 s under load, 3 days ago, Linux 6.12.117+deb13-amd64",
        )

    def test_over_the_budget_on_bare_metal(self, tree: Tree) -> None:
        self.desire(tree, 613717)
        self.keep(tree)
        assert tree.status() == "FAIL"

    @pytest.mark.parametrize("budget", [1, 10**9])
    def test_a_virtual_machine_never_passes_nor_fails_and_tells_the_figure(self, tree: Tree, budget: int) -> None:
        tree.write("/proc/cpuinfo", VM)
        self.desire(tree, budget)
        self.keep(tree)
        knob = tree.only()
        assert knob["status"] == "NOT-RUN"
        assert knob["reason"].startswith(
            "in a virtual machine no figure counts (max 613718 us on CPU 2, 60 s under load"
        )

    def test_never_measured(self, tree: Tree) -> None:
        assert (tree.only()["status"], tree.only()["reason"][:23]) == ("NOT-RUN", "it was never measured: ")

    def test_the_last_measurement_counts(self, tree: Tree) -> None:
        self.keep(tree)
        self.keep(tree, "20261123T000000Z.json", seconds=7)
        assert "7 s under load" in tree.only()["running"]

    @pytest.mark.parametrize("change", [{"kernel": "6.1"}, {"command_line": "ro"}])
    def test_another_kernel_or_command_line_needs_a_measurement_of_its_own(
        self, tree: Tree, change: dict[str, str]
    ) -> None:
        self.keep(tree, **change)
        assert tree.only()["status"] == "NOT-RUN"
        assert tree.only()["reason"].startswith(
            "it was measured with another kernel or command line, measure again (max "
        )

    def test_every_isolated_cpu_has_to_be_measured(self, tree: Tree) -> None:
        self.desire(tree, 10**9, cpus="2-5")
        self.keep(tree)
        assert tree.only()["reason"].startswith("CPU 4,5 wasn't measured, measure again")

    def test_a_damaged_result(self, tree: Tree) -> None:
        tree.write("/var/jitter/1.json", "{")
        assert tree.only()["reason"].startswith("/var/jitter/1.json can't be read")
