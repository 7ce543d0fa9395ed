"""An undo gives the bare host back. It's the last test: what it leaves is compared with what the first one found."""

from __future__ import annotations

import re

import pytest
from support import NOTHING_CHANGED, Twin

# What differs, and why. docs/operations.md has the same list.
EXPECTED = {
    "files": (
        r"/boot/grub/grub\.cfg$",  # written anew by grub-mkconfig, from the settings of before
        r"/boot/grub/grubenv$",  # GRUB's environment block; wirebook leaves it empty
        r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-$",  # the accounts' backups, by useradd and userdel
        r"/var/lib/(chrony|dhcpcd|private|dbus|logrotate|PackageKit)\b",  # other services' own state
        r"/var/lib/(dpkg|apt)\b",  # packages that came and went
        r"/root/\.ansible",  # Ansible's folder for its modules
    ),
    "units": (
        r"^(systemd-|apt-|dpkg-|e2scrub|fstrim|logrotate|man-db)",
    ),  # timers of the system, by the hour of the day
    "sysctls": (r"^(kernel\.(core_pipe|threads-max)|vm\.min_free|net\.ipv4\.tcp_mem|net\.ipv4\.udp_mem)",),
}


@pytest.mark.full
def test_undo_gives_the_bare_host_back(twin: Twin, bare: dict[str, set[str]]) -> None:
    boot = twin.boot_id()
    run = twin.succeed("undo")
    assert "lab1 is as it was before wirebook" in run.output
    assert twin.boot_id() != boot
    now = twin.picture()
    for section, before in bare.items():
        differences = before ^ now[section]
        expected = re.compile("|".join(EXPECTED.get(section, ("$^",))))
        unexpected = sorted(line for line in differences if not expected.search(line.rstrip()))
        print(f"  {section}: {len(before)} lines, {len(differences)} differ as expected" if not unexpected else section)
        assert not unexpected, "\n".join(unexpected)


@pytest.mark.full
def test_a_second_undo_finds_nothing_to_do(twin: Twin) -> None:
    run = twin.succeed("undo")
    assert "lab1 has no journal" in run.output
    assert NOTHING_CHANGED.search(run.output)
