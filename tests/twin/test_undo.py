"""An undo gives the bare host back. It's the last test: what it leaves is compared with what the first one found."""

from __future__ import annotations

import pytest
from support import Twin, differences

# What differs after an undo, and why. docs/operations.md has the same list.
EXPECTED = {
    "files": (
        r"/boot/grub/grub\.cfg$",  # written anew by grub-mkconfig, from the settings of before
        r"/boot/grub/grubenv$",  # GRUB's environment block; wirebook leaves it empty
        r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-$",  # the accounts' backups, by useradd and userdel
        r"/var/lib/(dpkg|apt)\b",  # packages that came and went
    ),
}


@pytest.mark.full
def test_undo_gives_the_bare_host_back(twin: Twin, bare: dict[str, set[str]]) -> None:
    boot = twin.boot_id()
    run = twin.succeed("undo")
    assert "lab1 is as it was before wirebook" in run.output
    assert twin.boot_id() != boot
    assert differences(bare, twin.picture(), EXPECTED) == {}


@pytest.mark.full
def test_a_second_undo_finds_nothing_to_do(twin: Twin) -> None:
    run = twin.succeed("undo")
    assert "lab1 has no ledger" in run.output
    assert run.changed_nothing
