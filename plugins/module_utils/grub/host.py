"""GRUB on a host: what it boots, what it would boot with another drop-in, and whether it can try an entry once."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..ledger.files import replace_file
from .cmdline import command_line
from .entries import Entry, GrubError
from .menu import default_entry

# GRUB reads these but doesn't write them (grub's 10_linux, "recordfail"; info grub, "Environment block").
READ_ONLY_SYSTEMS = frozenset({"btrfs", "cpiofs", "newc", "odc", "romfs", "squash4", "tarfs", "zfs"})
# _IOW('f', 43, __u32): Documentation/filesystems/ext4/journal.rst, "Journal Checkpoint".
EXT4_IOC_CHECKPOINT = 0x4004662B
# Another file system, or ext4 without a journal.
NO_JOURNAL = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV)


def run(*argv: str) -> str:
    """Run a command and return what it prints; GrubError with what it says if it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise GrubError(
            f"The host has no {argv[0]}: install grub-pc or grub-efi-amd64, run update-grub, and deploy again."
        ) from None
    if done.returncode != 0:
        raise GrubError(f"`{' '.join(argv)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


FORMER_NAME = "60-wirebook.cfg"


@dataclass(frozen=True)
class Dropin:
    """A file in /etc/default/grub.d; without text there is to be none."""

    path: Path
    text: str

    @property
    def former(self) -> Path:
        """What an earlier release called it: images' own drop-ins sorted after that, and overrode it."""
        return self.path.with_name(FORMER_NAME)

    def is_right(self) -> bool:
        """Whether the file is as it should be."""
        if self.former != self.path and self.former.exists():
            return False
        return (self.path.read_text() if self.path.exists() else "") == self.text

    def write(self) -> None:
        """Write or remove the file."""
        if self.former != self.path:
            self.former.unlink(missing_ok=True)
        if self.text:
            replace_file(self.path, self.text.encode(), 0o644)
        else:
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Grub:
    """GRUB's files below a root, which is another one in tests only."""

    root: Path = Path("/")

    @property
    def config(self) -> Path:
        """What GRUB reads at boot."""
        return self.root / "boot/grub/grub.cfg"

    @property
    def custom(self) -> Path:
        """What GRUB reads besides: entries that no update-grub touches."""
        return self.root / "boot/grub/custom.cfg"

    @property
    def environment(self) -> Path:
        """What GRUB remembers from boot to boot: its environment block, which its tools write in place."""
        return self.root / "boot/grub/grubenv"

    @property
    def settings(self) -> Path:
        """The folder of GRUB's settings."""
        return self.root / "etc/default"

    def default(self) -> Entry:
        """Return the entry that the host boots by default."""
        try:
            return default_entry(self.config.read_text())
        except FileNotFoundError:
            raise GrubError(
                "The host has no /boot/grub/grub.cfg, so it doesn't boot by GRUB: "
                "install grub-pc or grub-efi-amd64 and run update-grub."
            ) from None

    def running(self) -> list[str]:
        """Return the command line that the running kernel was started with."""
        return command_line((self.root / "proc/cmdline").read_text())

    def started_the_host(self) -> bool:
        """Whether GRUB started the running kernel: it tells which by a parameter of its own, as kexec keeps it."""
        return re.search(r"(?:^|\s)BOOT_IMAGE=", (self.root / "proc/cmdline").read_text()) is not None

    def settings_files(self) -> list[Path]:
        """Return the files of GRUB's settings, in the order in which grub-mkconfig reads them."""
        return [self.settings / "grub", *sorted((self.settings / "grub.d").glob("*.cfg"))]

    def is_older_than_settings(self) -> bool:
        """Whether the settings changed after grub.cfg was written; a file that was removed changed its folder."""
        written = self.config.stat().st_mtime
        dropins = self.settings / "grub.d"
        paths = (self.settings / "grub", dropins, *dropins.glob("*.cfg"))
        return any(path.stat().st_mtime > written for path in paths if path.exists())

    def configuration_with(self, dropin: Dropin) -> str:
        """Return what update-grub would write if the drop-in were as given, and write nothing.

        grub-mkconfig runs where only it sees a copy of the settings.
        """
        with tempfile.TemporaryDirectory(prefix="wirebook-grub.", dir=self.root / "run") as folder:
            copy = Path(folder, "default")
            shutil.copytree(self.settings, copy, symlinks=True)
            changed = Dropin(copy / dropin.path.relative_to(self.settings), dropin.text)
            changed.write()
            written = Path(folder, "grub.cfg")
            script = 'mount --bind "$1" "$2" && exec grub-mkconfig --output="$3"'
            run("unshare", "--mount", "sh", "-c", script, "sh", str(copy), str(self.settings), str(written))
            return written.read_text()

    def write_configuration(self, text: str) -> None:
        """Replace grub.cfg in one step, which update-grub doesn't: it would leave a part when the power fails."""
        replace_file(self.config, text.encode(), self.config.stat().st_mode & 0o7777)

    def write_through(self) -> None:
        """Bring what was written to where GRUB reads it.

        GRUB doesn't replay a journal: a host that hangs or loses its power while a file is only there would stop at
        GRUB's prompt. Of other file systems than ext4 only a sync can be asked for.
        """
        if self.environment.exists():
            with self.environment.open("rb") as file:
                os.fsync(file.fileno())
        folder = self.config.parent
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
            fcntl.ioctl(handle, EXT4_IOC_CHECKPOINT, struct.pack("I", 0))
        except OSError as error:
            if error.errno not in NO_JOURNAL:
                raise GrubError(f"The journal of {folder} can't be written out: {error.strerror}.") from error
        finally:
            os.close(handle)

    def objection_to_trial(self) -> str:
        """Return why GRUB can't boot an entry once here; nothing if it can.

        grub-reboot works by the environment block, which GRUB empties before it boots the entry.
        """
        abstraction = run("grub-probe", "--target=abstraction", str(self.config.parent)).strip()
        system = run("grub-probe", "--target=fs", str(self.config.parent)).strip()
        if abstraction:
            return f"/boot/grub is on {abstraction.replace(chr(10), ', ')}"
        return f"/boot/grub is on {system}" if system in READ_ONLY_SYSTEMS else ""

    def reads_custom(self) -> bool:
        """Whether grub.cfg reads custom.cfg, by Debian's 41_custom."""
        return "source $prefix/custom.cfg" in self.config.read_text()
