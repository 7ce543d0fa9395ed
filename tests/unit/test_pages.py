"""What holds for every page: its links lead somewhere, its lines fit, and each page can be found from the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.wirebook.node.tests.unit.support.paths import ROOT

FOLDERS = ("app/src", "app/tests", "docs", "inventory", "molecule", "plugins", "roles", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
# What commands make, so that it isn't always there.
MADE = ("app/dist/", "app/bench/results/")
WIDTH = 120


def prose(page: Path) -> list[tuple[int, str]]:
    """Return the lines of a page with their numbers, without blocks of code and what is code in a line."""
    found, fenced = [], False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            found.append((number, re.sub(r"`[^`]*`", "`", line)))
    return found


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: list[str] = []
    fenced = False
    for line in page.read_text().splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and (heading := re.match(r"#+ (.+)", line)):
            text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading.group(1))
            found.append(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-"))
    return {name if not found[:at].count(name) else f"{name}-{found[:at].count(name)}" for at, name in enumerate(found)}


def links(page: Path) -> list[tuple[int, str]]:
    """Return the targets of a page's links, with their lines."""
    text = "\n".join(line for _, line in prose(page))
    numbers = [number for number, _ in prose(page)]
    return [
        (numbers[text[: match.start()].count("\n")], match.group(1))
        for match in re.finditer(r"\[[^]]*\]\(([^)\s]+)\)", text)
    ]


LINKS = [(page, number, target) for page in PAGES for number, target in links(page)]


def test_pages_and_links_are_found() -> None:
    assert ROOT / "docs/first-server.md" in PAGES
    assert any(target == "../../docs/ledger.md" for _, _, target in LINKS)
    assert "give-a-nic-to-a-dpdk-program" in anchors(ROOT / "docs/how-to/README.md")
    assert "nic_flow_rules" in anchors(ROOT / "docs/reference/variables.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
class TestAPage:
    def test_its_links_are_relative_and_lead_somewhere(self, page: Path) -> None:
        wrong = []
        for number, target in links(page):
            if re.match(r"[a-z]+://|mailto:", target):
                continue
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            inside = there.is_relative_to(ROOT) and there.exists() and not path.startswith("/")
            if not inside or (anchor and anchor not in anchors(there)):
                wrong.append(f"{page.relative_to(ROOT)}:{number}: {target}")
        assert wrong == []

    def test_its_lines_fit(self, page: Path) -> None:
        """A row of a table can't be broken, nor can an address."""
        lines = enumerate(page.read_text().splitlines(), 1)
        long = [
            number for number, line in lines if len(line) > WIDTH and not line.startswith("|") and "://" not in line
        ]
        assert long == []

    def test_files_of_the_repository_that_it_names_are_there(self, page: Path) -> None:
        """What is named as code by its path from the top; `inventory/mine` is the reader's own."""
        named = re.findall(
            r"`((?:app|docs|inventory|molecule|playbooks|plugins|roles|tests|tools)/[^`\s]+)`", page.read_text()
        )
        exact = [name for name in named if not re.search(r"[*{<…]|[A-Z]{2,}(?!\w*\.md)|::|^inventory/mine", name)]
        assert [name for name in exact if not (ROOT / name).exists() and not name.startswith(MADE)] == []


def test_every_page_of_docs_is_in_the_index() -> None:
    index = ROOT / "docs/README.md"
    listed = {(index.parent / target.partition("#")[0]).resolve() for _, target in links(index)}
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - {index}
    assert pages - listed == set()


def test_the_changelog_says_nothing_twice() -> None:
    """Two branches that rewrote one entry leave both of them, if nobody looks."""
    entries = re.findall(r"(?m)^- (.{1,38})", (ROOT / "CHANGELOG.md").read_text())
    assert sorted({entry for entry in entries if entries.count(entry) > 1}) == []
