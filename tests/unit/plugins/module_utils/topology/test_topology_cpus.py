"""CPU lists."""

from __future__ import annotations

import random

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.topology.cpus import format_cpus, format_mask, parse_cpus


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("", set()),
        ("  ", set()),
        ("3", {3}),
        ("2-3", {2, 3}),
        ("0-2, 5,7-8", {0, 1, 2, 5, 7, 8}),
        ("4,4", {4}),
        # As the kernel and systemd write them.
        ("0-1,4\n", {0, 1, 4}),
        ("\n", set()),
        ("0-1 3", {0, 1, 3}),
        ("1 2\t3", {1, 2, 3}),
    ],
)
def test_a_list_is_a_set_of_numbers(text: str, cpus: set[int]) -> None:
    assert parse_cpus(text) == cpus


@pytest.mark.parametrize("text", ["N", "all", "2-", "-2", "3-2", "2,,3", "0x3", "1:2", "2-3/2", "1 - 3", "2-3,", ",2"])
def test_anything_else_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"isn't a list of CPUs: .*\.$"):
        parse_cpus(text)


@pytest.mark.parametrize(
    ("cpus", "text"), [(set(), ""), ({3}, "3"), ({2, 3}, "2-3"), ({8, 0, 1, 2, 5, 7}, "0-2,5,7-8")]
)
def test_a_set_is_written_as_compact_ranges(cpus: set[int], text: str) -> None:
    assert format_cpus(cpus) == text


def test_any_set_survives_being_written_and_read() -> None:
    source = random.Random(1)  # noqa: S311
    for _ in range(500):
        cpus = {source.randrange(256) for _ in range(source.randrange(64))}
        assert parse_cpus(format_cpus(cpus)) == cpus


@pytest.mark.parametrize(
    ("cpus", "mask"),
    [("0-1", "3"), ("", "0"), ("0,32", "1,00000001"), ("64", "1,00000000,00000000"), ("8-31", "ffffff00")],
)
def test_masks_are_written_as_the_kernel_prints_them(cpus: str, mask: str) -> None:
    assert format_mask(parse_cpus(cpus)) == mask
