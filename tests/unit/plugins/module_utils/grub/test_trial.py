"""The trial boot's steps, on a host of files. Scripts stand for GRUB's own tools; the twin runs the real ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.grub.entries import GrubError, default_entry, entries_of
from ansible_collections.wirebook.node.plugins.module_utils.grub.host import Dropin, Grub
from ansible_collections.wirebook.node.plugins.module_utils.grub.trial import Boot
from ansible_collections.wirebook.node.plugins.module_utils.ledger.files import replace_file

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the files belong to root, so only root can write them")

WANTED = ["isolcpus=2-3", "nohz_full=2-3"]
LINE = "root=UUID=1 ro console=ttyS0"
# Writes what grub-mkconfig does, from the settings that it is given.
MKCONFIG = r"""#!/bin/sh
# --mount sh -c SCRIPT sh COPY SETTINGS OUTPUT, as unshare is called
settings=$6 output=$8
GRUB_CMDLINE_LINUX_DEFAULT= GRUB_DEFAULT=0
. "$settings/grub"
for file in "$settings"/grub.d/*.cfg; do [ -e "$file" ] && . "$file"; done
cat >"$output" <<END
if [ "\${next_entry}" ] ; then
   set default="\${next_entry}"
else
   set default="$GRUB_DEFAULT"
fi
menuentry 'Debian GNU/Linux' --class debian \$menuentry_id_option 'gnulinux-simple-1' {
	insmod ext2
	linux	/boot/vmlinuz-6.12 root=UUID=1 ro console=ttyS0 $GRUB_CMDLINE_LINUX_DEFAULT
	initrd	/boot/initrd.img-6.12
}
submenu 'Advanced options' \$menuentry_id_option 'gnulinux-advanced-1' {
	menuentry 'Debian GNU/Linux, with Linux 6.12 (recovery mode)' {
		linux	/boot/vmlinuz-6.12 root=UUID=1 ro single
	}
}
if [ -f  \${config_directory}/custom.cfg ]; then
  source \${config_directory}/custom.cfg
elif [ -z "\${config_directory}" -a -f  \$prefix/custom.cfg ]; then
  source \$prefix/custom.cfg
fi
END
"""


class Host(Boot):
    """A host that boots by GRUB."""

    def __init__(self, root: Path) -> None:
        super().__init__(Grub(root))
        self.root = root
        self.dropin = root / "etc/default/grub.d/60-wirebook.cfg"
        for folder in ("boot/grub", "etc/default/grub.d", "proc/sys/kernel", "run", "bin"):
            (root / folder).mkdir(parents=True)
        (root / "etc/default/grub").write_text("")
        (root / "proc/sys/kernel/panic").write_text("0\n")
        self.tool("unshare", MKCONFIG)
        self.tool("systemctl", f'#!/bin/sh\necho "$@" >>{root}/calls\n')
        self.tool("grub-editenv", f'#!/bin/sh\necho "grub-editenv $2 $3" >>{root}/calls\n')
        self.tool("grub-reboot", f'#!/bin/sh\necho "grub-reboot $1" >>{root}/calls\n')
        self.lies_on("", "ext2")
        self.grub.config.write_text(self.grub.configuration_with(Dropin(self.dropin, "")))
        self.reboot()

    def tool(self, name: str, script: str) -> None:
        (self.root / "bin" / name).write_text(script)
        (self.root / "bin" / name).chmod(0o755)

    def lies_on(self, abstraction: str, system: str) -> None:
        """Say what grub-probe finds below /boot/grub."""
        script = f'case $1 in *abstraction) echo "{abstraction}" ;; *fs) echo "{system}" ;; esac'
        self.tool("grub-probe", f"#!/bin/sh\n{script}\n")

    def wish(self, wanted: list[str]) -> Dropin:
        text = f'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {" ".join(wanted)}"\n'
        return Dropin(self.dropin, text if wanted else "")

    def deploy(self, wanted: list[str], *, without_trial_boot: bool = False) -> str:
        """Compare and prepare; return which boot is needed."""
        plan = self.plan(wanted, self.wish(wanted), without_trial_boot=without_trial_boot)
        if plan.writes:
            self.prepare(plan)
        return str(plan.boot)

    def reboot(self, *, trial: bool = False) -> None:
        """Start the kernel with the default entry, or with the one on trial."""
        text = self.grub.custom.read_text() if trial else self.grub.config.read_text()
        entry = next(entry for entry in entries_of(text) if not trial or "'wirebook-trial'" in entry.lines[0])
        (self.root / "proc/cmdline").write_text(f"BOOT_IMAGE=/boot/vmlinuz-6.12 {' '.join(entry.parameters)}\n")
        (self.root / "run/wirebook-trial-confirmed").unlink(missing_ok=True)

    def default(self) -> list[str]:
        return list(default_entry(self.grub.config.read_text()).parameters)

    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return Host(tmp_path)


def test_a_trial_leaves_the_default_entry_alone(host: Host) -> None:
    before = host.grub.config.read_bytes()
    assert host.deploy(WANTED) == "trial"
    host.arm()
    assert host.grub.config.read_bytes() == before
    assert not host.dropin.exists()
    known_good, trial = entries_of(host.grub.custom.read_text())
    assert known_good.parameters == LINE.split()
    assert trial.parameters[:-1] == [*LINE.split(), *WANTED, "panic=10"]
    assert trial.parameters[-1].startswith("wirebook.trial=")
    assert host.calls() == ["enable wirebook-trial.timer", "grub-reboot wirebook-trial"]


def test_a_trial_that_is_confirmed_becomes_the_default(host: Host) -> None:
    (host.root / "proc/sys/kernel/panic").write_text("5\n")
    host.deploy(WANTED)
    host.reboot(trial=True)
    (host.root / "proc/sys/kernel/panic").write_text("10\n")
    assert host.came_up() == ("trial", [], [])
    host.confirm()
    assert host.default() == [*LINE.split(), *WANTED]
    assert [entry.parameters for entry in entries_of(host.grub.custom.read_text())] == [LINE.split()]
    assert (host.root / "proc/sys/kernel/panic").read_text() == "5\n"
    assert (host.root / "run/wirebook-trial-confirmed").exists()
    assert host.calls()[-2:] == ["stop wirebook-trial.timer", "grub-editenv unset next_entry"]
    # The boot that was tried goes on, with what the trial added: nothing is left to do, not after a reboot either.
    assert host.deploy(WANTED) == "none"
    host.reboot()
    assert host.deploy(WANTED) == "none"
    assert not host.plan(WANTED, host.wish(WANTED)).writes


def test_a_trial_that_was_given_up_left_no_trace(host: Host) -> None:
    before = host.grub.config.read_bytes()
    host.deploy(WANTED)
    host.reboot()
    assert host.came_up() == ("default", WANTED, [])
    host.drop()
    assert host.grub.config.read_bytes() == before
    assert len(entries_of(host.grub.custom.read_text())) == 1
    with pytest.raises(GrubError, match="isn't the trial"):
        host.confirm()


def test_a_deploy_that_ended_before_it_confirmed_is_taken_up(host: Host) -> None:
    host.deploy(WANTED)
    host.reboot(trial=True)
    assert host.deploy(WANTED) == "resume"
    host.confirm()
    assert host.deploy(WANTED) == "none"


def test_another_wish_during_a_trial_is_a_trial_of_its_own(host: Host) -> None:
    host.deploy(WANTED)
    host.reboot(trial=True)
    assert host.deploy(["isolcpus=3"]) == "trial"
    host.reboot(trial=True)
    assert host.came_up()[0] == "trial"
    host.confirm()
    assert host.default() == [*LINE.split(), "isolcpus=3"]


def test_settings_that_change_during_a_trial_are_not_confirmed(host: Host) -> None:
    host.deploy(WANTED)
    host.reboot(trial=True)
    (host.root / "etc/default/grub").write_text("GRUB_CMDLINE_LINUX_DEFAULT=quiet\n")
    with pytest.raises(GrubError, match="changed during the trial"):
        host.confirm()


def test_taking_the_parameters_away_is_a_trial_too(host: Host) -> None:
    host.deploy(WANTED)
    host.reboot(trial=True)
    host.confirm()
    assert host.deploy([]) == "trial"
    host.reboot(trial=True)
    host.confirm()
    assert host.default() == LINE.split()
    assert not host.dropin.exists()


@pytest.mark.parametrize("place", ["etc/default/grub.d/60-wirebook.cfg", "boot/grub/grub.cfg"])
def test_a_default_entry_that_was_changed_by_hand_is_mended_without_a_reboot(host: Host, place: str) -> None:
    host.deploy(WANTED)
    host.reboot(trial=True)
    host.confirm()
    path = host.root / place
    path.write_text(path.read_text().replace("isolcpus=2-3", "isolcpus=3"))
    assert host.deploy(WANTED) == "none"
    assert host.default() == [*LINE.split(), *WANTED]
    assert host.dropin.read_text() == host.wish(WANTED).text


def test_planning_writes_nothing(host: Host) -> None:
    before = {path: path.read_bytes() for path in host.root.rglob("*") if path.is_file()}
    assert host.plan(WANTED, host.wish(WANTED)).writes
    assert {path: path.read_bytes() for path in host.root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("abstraction", "system", "found"),
    [("lvm", "ext2", "lvm"), ("mdraid1x\ndiskfilter", "ext2", "mdraid1x"), ("", "btrfs", "btrfs"), ("", "zfs", "zfs")],
)
def test_where_grub_cant_write_no_trial_is_made(host: Host, abstraction: str, system: str, found: str) -> None:
    host.lies_on(abstraction, system)
    with pytest.raises(GrubError, match=f"No trial boot is possible: /boot/grub is on {found}.*kernel_cmdline_without"):
        host.deploy(WANTED)
    assert not host.grub.custom.exists()
    # The operator may say otherwise by name.
    assert host.deploy(WANTED, without_trial_boot=True) == "direct"
    assert host.default() == [*LINE.split(), *WANTED]
    assert [entry.parameters for entry in entries_of(host.grub.custom.read_text())] == [LINE.split()]
    host.reboot()
    assert host.came_up() == ("default", [], [])


def test_somebody_elses_custom_entries_are_not_overwritten(host: Host) -> None:
    host.grub.custom.write_text("menuentry 'memtest' {\n}\n")
    for without_trial_boot in (False, True):
        with pytest.raises(GrubError, match=r"custom\.cfg isn't wirebook's"):
            host.deploy(WANTED, without_trial_boot=without_trial_boot)


def test_a_menu_that_doesnt_read_custom_entries_is_a_sentence(host: Host) -> None:
    text = host.grub.config.read_text()
    host.grub.config.write_text(text[: text.index("if [ -f  ${config_directory}")])
    with pytest.raises(GrubError, match="41_custom"):
        host.deploy(WANTED)


def test_another_default_than_the_first_is_a_sentence(host: Host) -> None:
    host.grub.config.write_text(host.grub.config.read_text().replace('set default="0"', 'set default="saved"'))
    with pytest.raises(GrubError, match="GRUB boots its entry 'saved' by default, not the first"):
        host.deploy(WANTED)


def test_a_parameter_that_another_file_sets_is_a_sentence(host: Host) -> None:
    (host.root / "etc/default/grub").write_text("GRUB_CMDLINE_LINUX_DEFAULT=isolcpus=1\n")
    with pytest.raises(GrubError, match="would have 'isolcpus=1 isolcpus=2-3 nohz_full=2-3' instead of"):
        host.deploy(WANTED)


def test_a_host_without_grub_is_a_sentence(host: Host) -> None:
    host.grub.config.unlink()
    with pytest.raises(GrubError, match="doesn't boot by GRUB"):
        host.deploy(WANTED)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """An ext4 file system in a file, and where it is mounted."""
    image, folder = tmp_path / "disk", tmp_path / "mounted"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    mounted = subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file can be mounted here: {mounted.stderr.strip()}")
    try:
        yield image, folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(not shutil.which("debugfs"), reason="debugfs (e2fsprogs) reads a disk without its journal")
def test_what_grub_reads_doesnt_wait_in_the_journal(small_disk: tuple[Path, Path]) -> None:
    image, folder = small_disk
    grub = Grub(folder)
    grub.config.parent.mkdir(parents=True)

    def as_grub_reads_it() -> str:
        command = ["debugfs", "-c", "-R", "cat /boot/grub/grub.cfg", str(image)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    replace_file(grub.config, b"menuentry one\n", 0o600)
    # On the disk, as far as fsync(2) goes, and GRUB would not find it.
    assert as_grub_reads_it() == ""
    grub.write_through()
    assert as_grub_reads_it() == "menuentry one\n"
