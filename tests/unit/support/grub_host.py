"""A host of files that boots by GRUB. Scripts stand for GRUB's own tools; the twin runs the real ones."""

from __future__ import annotations

import shutil
from pathlib import Path

from ansible_collections.wirebook.node.plugins.module_utils.grub.entries import entries_of
from ansible_collections.wirebook.node.plugins.module_utils.grub.host import Dropin, Grub
from ansible_collections.wirebook.node.plugins.module_utils.grub.menu import default_entry
from ansible_collections.wirebook.node.plugins.module_utils.grub.trial import Boot
from ansible_collections.wirebook.node.plugins.module_utils.grub.words import as_the_kernel_gets, words_of

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
	menuentry 'Debian GNU/Linux, with Linux 6.12-rt' --class debian \$menuentry_id_option 'gnulinux-6.12-rt' {
		linux	/boot/vmlinuz-6.12-rt root=UUID=1 ro console=ttyS0 $GRUB_CMDLINE_LINUX_DEFAULT
		initrd	/boot/initrd.img-6.12-rt
	}
}
if [ -f  \${config_directory}/custom.cfg ]; then
  source \${config_directory}/custom.cfg
elif [ -z "\${config_directory}" -a -f  \$prefix/custom.cfg ]; then
  source \$prefix/custom.cfg
fi
END
"""


class Disk(Grub):
    """GRUB's files, and what of them would be on the disk if the power failed now."""

    @property
    def written(self) -> Path:
        """What was written through so far."""
        return self.root / "disk"

    def write_through(self) -> None:
        super().write_through()
        shutil.copytree(self.config.parent, self.written, dirs_exist_ok=True)


class Host(Boot):
    """A host that boots by GRUB."""

    def __init__(self, root: Path) -> None:
        super().__init__(Disk(root))
        self.root = root
        self.dropin = root / "etc/default/grub.d/zz-wirebook.cfg"
        for folder in ("boot/grub", "etc/default/grub.d", "proc/sys/kernel", "run", "bin"):
            (root / folder).mkdir(parents=True)
        (root / "etc/default/grub").write_text("")
        for panic in ("panic", "softlockup_panic", "hung_task_panic", "panic_on_rcu_stall"):
            (root / "proc/sys/kernel" / panic).write_text("0\n")
        self.tool("unshare", MKCONFIG)
        self.tool("systemctl", f'#!/bin/sh\necho "$@" >>{root}/calls\n')
        environment = f"{root}/boot/grub/grubenv"
        self.tool("grub-editenv", f'#!/bin/sh\necho "grub-editenv $2 $3" >>{root}/calls\n: >{environment}\n')
        note = f'echo "grub-reboot $1" >>{root}/calls'
        self.tool("grub-reboot", f'#!/bin/sh\n{note}\necho "next_entry=$1" >{environment}\n')
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
        _, kernel, *words = next(words_of(line) for line in entry.lines if line.split()[:1] == ["linux"])
        (self.root / "proc/cmdline").write_text(as_the_kernel_gets([f"BOOT_IMAGE={kernel}", *words]) + "\n")
        (self.root / "run/wirebook-trial-confirmed").unlink(missing_ok=True)

    def default(self) -> list[str]:
        return list(default_entry(self.grub.config.read_text()).parameters)

    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()

    def on_disk(self, name: str) -> str:
        """Return what GRUB would read of one of its files if the power failed now."""
        return (self.root / "disk" / name).read_text()
