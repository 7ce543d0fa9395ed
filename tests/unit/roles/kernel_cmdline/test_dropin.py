"""The drop-in as it goes to the kernel: through Ansible's template, a shell, and GRUB's script."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible_collections.wirebook.node.plugins.module_utils.grub.cmdline import canonical, command_line
from ansible_collections.wirebook.node.plugins.module_utils.grub.words import as_the_kernel_gets, words_of
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES

TEMPLATE = ROLES / "kernel_cmdline/templates/zz-wirebook.cfg.j2"


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> None:
    init_plugin_loader()


@pytest.mark.parametrize(
    "wanted",
    [
        ["isolcpus=managed_irq,domain,2-3", "nohz_full=2-3", "hugepages=0:4,1:4"],
        ["memmap=16M$256M", "quiet"],
        ['dyndbg="file drivers/usb/* +p"'],
        ["acpi_osi=!Windows", "acpi_osi=`x`", "a=b\\c", "a=(b)", "a=#b;c&d"],
    ],
)
def test_every_parameter_reaches_the_kernel_as_it_is_asked_for(tmp_path: Path, wanted: list[str]) -> None:
    templar = Templar(DataLoader(), {"__kernel_cmdline_wanted": wanted, "file": str(TEMPLATE)})
    look_up = trust_as_template("{{ lookup('ansible.builtin.template', file) }}")
    (tmp_path / "zz.cfg").write_text(templar.template(look_up))
    script = 'GRUB_CMDLINE_LINUX_DEFAULT=first; . "$0"; printf "%s\\n" "$GRUB_CMDLINE_LINUX_DEFAULT"'
    done = subprocess.run(["sh", "-euc", script, tmp_path / "zz.cfg"], capture_output=True, text=True, check=True)
    got = command_line(as_the_kernel_gets(words_of(f"linux /vmlinuz {done.stdout}")[2:]))
    # GRUB escapes a backslash for the kernel, which takes both for text.
    assert [parameter.replace("\\\\", "\\") for parameter in got] == ["first", *map(canonical, wanted)]
