"""The trial boot's steps, on a host of files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.grub.entries import GrubError, entries_of
from ansible_collections.wirebook.node.plugins.module_utils.grub.host import Grub
from ansible_collections.wirebook.node.plugins.module_utils.grub.menu import default_entry
from ansible_collections.wirebook.node.plugins.module_utils.ledger.files import replace_file
from ansible_collections.wirebook.node.tests.unit.support.grub_host import LINE, WANTED, Host

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the files belong to root, so only root can write them")


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
    # What hangs panics, and what panics reboots, into the default entry.
    panics = ["panic=10", "softlockup_panic=1", "hung_task_panic=1", "sysctl.kernel.panic_on_rcu_stall=1"]
    assert trial.parameters[:-1] == [*LINE.split(), *WANTED, *panics]
    assert trial.parameters[-1].startswith("wirebook.trial=")
    assert host.calls() == ["enable wirebook-trial.timer", "grub-reboot wirebook-trial"]


def panics(host: Host, **values: int) -> dict[str, int]:
    """Set sysctls of what is done about a panic and a hang, and return all."""
    names = ("panic", "softlockup_panic", "hung_task_panic", "panic_on_rcu_stall")
    paths = {name: host.root / "proc/sys/kernel" / name for name in names}
    for name, value in values.items():
        paths[name].write_text(f"{value}\n")
    return {name: int(path.read_text()) for name, path in paths.items() if path.exists()}


IN_A_TRIAL = {"panic": 10, "softlockup_panic": 1, "hung_task_panic": 1, "panic_on_rcu_stall": 1}


def test_what_a_hang_does_is_as_before_once_a_trial_is_confirmed(host: Host) -> None:
    before = panics(host, panic=5, hung_task_panic=1)
    host.deploy(WANTED)
    host.reboot(trial=True)
    panics(host, **IN_A_TRIAL)
    # Another command line is tried before anybody confirmed the first.
    assert host.deploy([*WANTED, "skew_tick=1"]) == "trial"
    host.reboot(trial=True)
    panics(host, **IN_A_TRIAL)
    host.confirm()
    assert panics(host) == before


def test_a_kernel_without_a_detector_is_tried_without(host: Host) -> None:
    (host.root / "proc/sys/kernel/softlockup_panic").unlink()
    host.deploy(WANTED)
    host.reboot(trial=True)
    host.confirm()
    assert set(panics(host)) == {"panic", "hung_task_panic", "panic_on_rcu_stall"}


def test_a_trial_that_an_earlier_release_prepared_is_confirmed(host: Host) -> None:
    host.deploy(WANTED)
    state = host.root / "var/lib/wirebook/boot/trial.json"
    fields = json.loads(state.read_text())
    del fields["panics"]
    state.write_text(json.dumps(fields | {"panic": "7"}))
    host.reboot(trial=True)
    host.confirm()
    assert panics(host)["panic"] == 7


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


@pytest.mark.parametrize("place", ["etc/default/grub.d/zz-wirebook.cfg", "boot/grub/grub.cfg"])
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


@pytest.mark.parametrize("default", ["${saved_entry}", "1", "gnulinux-advanced-1>1", "1>gnulinux-6.12-rt"])
def test_a_default_that_is_another_entry_at_any_boot_is_a_sentence(host: Host, default: str) -> None:
    host.grub.config.write_text(host.grub.config.read_text().replace('set default="0"', f'set default="{default}"'))
    with pytest.raises(GrubError, match="by default, which may be another one at any boot: set GRUB_DEFAULT"):
        host.deploy(WANTED)


@pytest.mark.parametrize("default", ["gnulinux-9", "gnulinux-advanced-1", "gnulinux-simple-1>gnulinux-6.12-rt", ""])
def test_a_default_that_is_not_in_the_menu_is_a_sentence(host: Host, default: str) -> None:
    host.grub.config.write_text(host.grub.config.read_text().replace('set default="0"', f'set default="{default}"'))
    with pytest.raises(GrubError, match=f"GRUB is to boot '{default}' by default, which is no entry of its menu"):
        host.deploy(WANTED)


@pytest.mark.parametrize("default", ["gnulinux-advanced-1>gnulinux-6.12-rt", "Advanced options>gnulinux-6.12-rt"])
def test_a_kernel_that_is_pinned_by_its_id_is_tried_and_becomes_the_default(host: Host, default: str) -> None:
    (host.root / "etc/default/grub").write_text(f'GRUB_DEFAULT="{default}"\n')
    config = host.grub.config
    config.write_text(config.read_text().replace('set default="0"', f'set default="{default}"'))
    assert host.deploy(WANTED) == "trial"
    for entry in entries_of(host.grub.custom.read_text()):
        assert entry.lines[1].split()[:2] == ["linux", "/boot/vmlinuz-6.12-rt"]
    host.reboot(trial=True)
    assert host.came_up() == ("trial", [], [])
    host.confirm()
    assert host.default() == [*LINE.split(), *WANTED]
    assert default_entry(config.read_text()).id == "gnulinux-6.12-rt"
    host.drop()
    assert host.deploy(WANTED) == "none"


def test_a_parameter_that_another_file_sets_is_a_sentence(host: Host) -> None:
    (host.root / "etc/default/grub").write_text("GRUB_CMDLINE_LINUX_DEFAULT=isolcpus=1\n")
    with pytest.raises(GrubError, match="would have 'isolcpus=1 isolcpus=2-3 nohz_full=2-3' instead of"):
        host.deploy(WANTED)


@pytest.mark.parametrize(
    "before", [r"memmap=16M\\\$256M", "dyndbg='file drivers/usb/* +p'", "acpi_osi='!Windows 2012'"]
)
def test_what_is_quoted_in_the_menu_is_no_reason_for_a_trial(host: Host, before: str) -> None:
    (host.root / "etc/default/grub").write_text(f'GRUB_CMDLINE_LINUX_DEFAULT="{before}"\n')
    host.grub.config.write_text(host.grub.configuration_with(host.wish([])))
    host.reboot()
    assert len(host.grub.running()) == 4
    assert host.deploy([]) == "none"
    assert host.deploy(WANTED) == "trial"
    host.reboot(trial=True)
    assert host.came_up() == ("trial", [], [])
    host.confirm()
    host.reboot()
    assert host.deploy(WANTED) == "none"


def test_the_image_providers_file_that_overrides_ours_is_named(host: Host) -> None:
    provider = host.root / "etc/default/grub.d/zzz-provider.cfg"
    provider.write_text('GRUB_CMDLINE_LINUX_DEFAULT="consoleblank=0"\n')
    with pytest.raises(GrubError) as error:
        host.deploy(WANTED)
    assert str(error.value).endswith(
        f"instead of 'isolcpus=2-3 nohz_full=2-3': {provider} sets GRUB_CMDLINE_LINUX_DEFAULT anew: have it add to "
        "$GRUB_CMDLINE_LINUX_DEFAULT there, or move its parameters to /etc/default/grub."
    )
    provider.write_text('GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT consoleblank=0"\n')
    assert host.deploy(WANTED) == "trial"


@pytest.mark.parametrize("name", ["hetzner.cfg", "50-cloudimg-settings.cfg", "15_timeout.cfg"])
def test_an_image_providers_file_comes_before_ours(host: Host, name: str) -> None:
    (host.root / "etc/default/grub.d" / name).write_text('GRUB_CMDLINE_LINUX_DEFAULT="consoleblank=0"\n')
    host.grub.config.write_text(host.grub.configuration_with(host.wish([])))
    host.reboot()
    assert host.deploy(WANTED) == "trial"
    host.reboot(trial=True)
    host.confirm()
    assert host.default() == [*LINE.split(), "consoleblank=0", *WANTED]


def test_the_file_that_has_a_parameter_already_is_named(host: Host) -> None:
    other = host.root / "etc/default/grub.d/50-other.cfg"
    other.write_text('GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT isolcpus=1"\n')
    with pytest.raises(GrubError, match=f"take these parameters out of {other}\\.$"):
        host.deploy(WANTED)


def test_what_an_earlier_release_called_the_file_is_taken_away(host: Host) -> None:
    former = host.dropin.with_name("60-wirebook.cfg")
    former.write_text(host.wish(WANTED).text)
    host.grub.config.write_text(host.grub.configuration_with(host.wish(WANTED)))
    host.reboot()
    assert host.deploy(WANTED) == "none"
    assert not former.exists()
    assert host.dropin.exists()
    assert host.default() == [*LINE.split(), *WANTED]


def test_a_host_that_grub_did_not_start_is_not_rebooted_for_nothing(host: Host) -> None:
    """By systemd-boot, with GRUB's files left over."""
    line = (host.root / "proc/cmdline").read_text().replace("BOOT_IMAGE=/boot/vmlinuz-6.12 ", "initrd=\\initrd.img ")
    (host.root / "proc/cmdline").write_text(line)
    before = host.grub.config.read_bytes()
    for without_trial_boot in (False, True):
        with pytest.raises(GrubError, match="wasn't started by GRUB"):
            host.deploy(WANTED, without_trial_boot=without_trial_boot)
    assert host.grub.config.read_bytes() == before
    # What needs no parameter needs no GRUB.
    assert host.deploy([]) == "none"


def test_a_host_without_grub_is_a_sentence(host: Host) -> None:
    host.grub.config.unlink()
    with pytest.raises(GrubError, match="doesn't boot by GRUB"):
        host.deploy(WANTED)


def test_a_parameter_that_another_file_spells_otherwise_is_a_sentence(host: Host) -> None:
    """The kernel takes - and _ in a parameter's name for the same."""
    (host.root / "etc/default/grub").write_text("GRUB_CMDLINE_LINUX_DEFAULT=nohz-full=1\n")
    with pytest.raises(GrubError, match="would have 'nohz-full=1 isolcpus=2-3 nohz_full=2-3' instead of"):
        host.deploy(WANTED)


class TestWhatCameUp:
    """Only the trial that was prepared, and nothing beside it, is confirmed."""

    @pytest.fixture
    def tried(self, host: Host) -> Host:
        host.deploy(WANTED)
        host.reboot(trial=True)
        return host

    @staticmethod
    def change(host: Host, old: str, new: str) -> None:
        """Start the kernel with another command line."""
        path = host.root / "proc/cmdline"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    @pytest.mark.parametrize(
        ("old", "new", "found"),
        [
            pytest.param("ro", "ro", ("trial", [], []), id="the trial"),
            pytest.param("isolcpus=2-3 ", "", ("other", ["isolcpus=2-3"], []), id="without a parameter"),
            pytest.param(" ro ", " ro single ", ("other", [], ["single"]), id="with one more"),
            pytest.param(" ro ", " ro isolcpus=2-3 ", ("other", [], ["isolcpus=2-3"]), id="with one twice"),
            pytest.param("isolcpus=2-3", "isolcpus=3", ("other", ["isolcpus=2-3"], ["isolcpus=3"]), id="with another"),
            pytest.param("trial=", "trial=0", ("other", [], []), id="another trial of the same command line"),
        ],
    )
    def test_is_compared_as_a_whole(
        self, tried: Host, old: str, new: str, found: tuple[str, list[str], list[str]]
    ) -> None:
        self.change(tried, old, new)
        assert tried.came_up() == found
        if found[0] == "trial":
            tried.confirm()
            return
        before = tried.grub.config.read_bytes()
        with pytest.raises(GrubError, match="isn't the trial that was prepared"):
            tried.confirm()
        assert tried.grub.config.read_bytes() == before
        assert not tried.dropin.exists()

    def test_may_be_the_default_entry(self, tried: Host) -> None:
        tried.reboot()
        assert tried.came_up()[0] == "default"
        with pytest.raises(GrubError, match="isn't the trial that was prepared"):
            tried.confirm()
        assert tried.default() == LINE.split()

    def test_is_not_taken_up_again_once_it_was_confirmed(self, tried: Host) -> None:
        """Though the deploy was killed before it had forgotten the trial."""
        tried.tool("systemctl", "#!/bin/sh\nexit 1\n")
        with pytest.raises(GrubError, match="systemctl stop"):
            tried.confirm()
        assert tried.trial()
        assert tried.deploy(WANTED) == "none"


class TestWhatGrubFinds:
    """A host may lose its power at any moment: what a step has written is on the disk before the next one."""

    def test_after_a_trial_was_prepared(self, host: Host) -> None:
        host.deploy(WANTED)
        assert "'wirebook-trial'" in host.on_disk("custom.cfg")
        assert default_entry(host.on_disk("grub.cfg")).parameters == LINE.split()

    def test_after_it_was_armed(self, host: Host) -> None:
        host.deploy(WANTED)
        host.arm()
        assert host.on_disk("grubenv") == "next_entry=wirebook-trial\n"

    def test_when_the_dead_man_timer_stops(self, host: Host) -> None:
        """Until then a host that hangs has a way back: into what is to be its default."""
        host.deploy(WANTED)
        host.reboot(trial=True)
        host.tool("systemctl", f'#!/bin/sh\necho "$@" >>{host.root}/calls\ncp -r {host.root}/disk {host.root}/then\n')
        host.confirm()
        assert "stop wirebook-trial.timer" in host.calls()
        then = (host.root / "then/grub.cfg").read_text()
        assert default_entry(then).parameters == [*LINE.split(), *WANTED]

    def test_after_a_trial_was_confirmed_or_given_up(self, host: Host) -> None:
        for confirmed in (False, True):
            host.deploy(WANTED)
            host.arm()
            host.reboot(trial=confirmed)
            (host.confirm if confirmed else host.drop)()
            assert "'wirebook-trial'" not in host.on_disk("custom.cfg")
            assert host.on_disk("grubenv") == ""

    def test_after_a_change_without_a_trial(self, host: Host) -> None:
        host.deploy(WANTED, without_trial_boot=True)
        assert default_entry(host.on_disk("grub.cfg")).parameters == [*LINE.split(), *WANTED]
        assert "'wirebook-known-good'" in host.on_disk("custom.cfg")

    def test_after_the_default_entry_was_mended(self, host: Host) -> None:
        host.deploy(WANTED)
        host.reboot(trial=True)
        host.confirm()
        host.grub.config.write_text(host.grub.config.read_text().replace("isolcpus=2-3", "isolcpus=3"))
        assert host.deploy(WANTED) == "none"
        assert default_entry(host.on_disk("grub.cfg")).parameters == [*LINE.split(), *WANTED]


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
