#!/usr/bin/python
"""Ansible module: write a role's drop-in files, set its sysctls and say what is to be proven, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dropins
short_description: Write a role's drop-in files, set its sysctls, and say what is to be proven
description:
  - Writes all files of a role and C(/etc/wirebook/desired.d/ROLE.json) in one call, each atomically.
  - Removes a file that the role wrote earlier, as its fragment says, and no longer lists.
  - Gives sysctls their values in the running kernel where they are off, and reads them back.
  - Notes in the host's ledger what was there before the first change of files, of their units, and of sysctls.
attributes:
  check_mode:
    support: full
    description: Says what would change, and changes nothing.
  diff_mode:
    support: full
    description: Shows each file and value, before and after.
author: The wirebook engineers (!UNKNOWN)
options:
  role:
    description: The role's name; it names the fragment.
    type: str
    required: true
  files:
    description: The files, whole. A file is this role's own; no package may own it.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {type: path, required: true, description: Where.}
      content: {type: str, required: true, description: What is in it.}
      mode: {type: str, default: "0644", description: Octal.}
      owner: {type: str, default: root, description: An existing user.}
      group: {type: str, default: root, description: An existing group.}
  knobs:
    description: What node-doctor is to prove, see the role's README.
    type: list
    elements: dict
    default: []
  sysctls:
    description: Values in the running kernel, by key. The file for the next boot is one of O(files).
    type: dict
    default: {}
  values:
    description:
      - Values in the running kernel, by the path of a file below C(/sys). One of O(files) sets them at the next boot.
      - Masks of CPUs are compared as numbers, of a choice such as C(always [madvise] never) the chosen word.
      - A file that isn't there is left out. A value that the kernel takes only after the next boot is a warning.
    type: dict
    default: {}
  desired:
    description: The directory of the fragments.
    type: path
    default: /etc/wirebook/desired.d
  ledger:
    description: The directory of the host's ledger.
    type: path
    default: /var/lib/wirebook/ledger
"""

EXAMPLES = r"""
- name: Write the drop-ins
  wirebook.node.dropins:
    role: sysctl
    files:
      - path: /etc/sysctl.d/60-wirebook.conf
        content: "vm.swappiness = 10\n"
    sysctls: {vm.swappiness: 10}
    knobs:
      - name: sysctl vm.swappiness
        probe: sysctl
        key: vm.swappiness
        want: 10
        source: Documentation/admin-guide/sysctl/vm.rst
        breaks: Memory that isn't locked is swapped out while there is free memory.
"""

RETURN = r"""
changed_paths:
  description: The files that were written or removed, the fragment too.
  type: list
  elements: str
  returned: always
changed_values:
  description: The paths whose values were off.
  type: list
  elements: str
  returned: always
changed_sysctls:
  description: The keys whose values were off.
  type: list
  elements: str
  returned: always
"""

import errno
import grp
import json
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wirebook.node.plugins.module_utils.ledger.files import replace_file
from ansible_collections.wirebook.node.plugins.module_utils.ledger.kinds import LedgerError
from ansible_collections.wirebook.node.plugins.module_utils.ledger.store import FOLDER, Ledger

FORMAT = 1


@dataclass(frozen=True)
class File:
    """A file as it should be."""

    path: Path
    content: str
    mode: int
    uid: int
    gid: int

    def current(self) -> str | None:
        """Return the text that is there now; None where there is no such file."""
        try:
            return self.path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return None

    def is_right(self) -> bool:
        """Whether content, mode and owners are as they should be."""
        if self.current() != self.content:
            return False
        status = self.path.stat()
        return (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (self.mode, self.uid, self.gid)

    def write(self) -> None:
        """Replace the file atomically: a killed deploy leaves the old one or the new one, never a part."""
        replace_file(self.path, self.content.encode(), self.mode, self.uid, self.gid)


def wanted(entry: dict[str, Any]) -> File:
    """Return the file that an entry of `files` describes. KeyError: no such user or group."""
    return File(
        Path(entry["path"]),
        entry["content"],
        int(entry["mode"], 8),
        pwd.getpwnam(entry["owner"]).pw_uid,
        grp.getgrnam(entry["group"]).gr_gid,
    )


def fragment(role: str, files: list[File], knobs: list[dict[str, Any]], desired: str) -> File:
    """Return the role's part of the desired state."""
    state = {"format": FORMAT, "role": role, "files": [str(file.path) for file in files], "knobs": knobs}
    return File(Path(desired, f"{role}.json"), json.dumps(state, indent=1) + "\n", 0o644, 0, 0)


def left_over(previous: str | None, files: list[File]) -> list[Path]:
    """Return the files that the role's last fragment lists and this one doesn't."""
    if previous is None:
        return []
    try:
        listed = [Path(path) for path in json.loads(previous)["files"]]
    except (ValueError, KeyError, TypeError):
        # A damaged fragment is mended by writing it anew; what it listed is lost either way.
        return []
    kept = {file.path for file in files}
    return [path for path in listed if path not in kept and path.exists()]


UNITS = Path("/etc/systemd/system")
UNIT_TYPES = frozenset({".mount", ".path", ".service", ".socket", ".target", ".timer"})


def note(ledger: Ledger, role: str, files: list[File], values: list[Path]) -> None:
    """Note what is there before it is changed; a template's instances (NAME@.service) are for the role to note."""
    for file in files:
        ledger.note(role, "file", str(file.path))
        if file.path.parent == UNITS and file.path.suffix in UNIT_TYPES and not file.path.stem.endswith("@"):
            ledger.note(role, "unit", file.path.name)
    for path in values:
        ledger.note(role, "value", str(path))


class ValueRefusedError(Exception):
    """The running kernel can't have a value; the text is a sentence for the operator."""


def running_value(path: Path) -> str | None:
    """Return a value's text, of a choice the chosen word; None where the kernel has no such file."""
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    _, bracket, rest = text.partition("[")
    return rest.partition("]")[0] if bracket else text


def is_same(path: Path, left: str, right: str) -> bool:
    """Whether two values are the same; masks of CPUs, which the kernel pads, are compared as numbers."""
    if path.name == "cpumask":
        return int(left.replace(",", ""), 16) == int(right.replace(",", ""), 16)
    return left == right


def set_value(path: Path, value: str) -> str:
    """Write a value and read it back; return a warning where the kernel takes it only after the next boot, or "".

    A fair server's runtime is such a value: once somebody has read kernel.sched_rt_runtime_us, Linux 6.12 has lost its
    account of them (sched_rt_handler() rebuilds the scheduler's domains for a read too).
    """
    try:
        path.write_text(f"{value}\n")
    except OSError as error:
        if error.errno == errno.EBUSY:
            return f"The kernel doesn't take {value} for {path} now ({error.strerror}): the next boot sets it."
        raise ValueRefusedError(f"The kernel refuses {value} for {path} ({error.strerror}): choose another.") from error
    found = running_value(path)
    if found is None or not is_same(path, found, value):
        raise ValueRefusedError(f"The kernel made {found} of {value} in {path}: choose another value.")
    return ""


def set_sysctl(key: str, value: str) -> None:
    """Write a sysctl and read it back."""
    path = sysctl_path(key)
    try:
        path.write_text(f"{value}\n")
    except OSError as error:
        raise ValueRefusedError(
            f"The kernel refuses {key} = {value} ({error.strerror}): choose another value."
        ) from error
    found = running_sysctl(key)
    if found != value:
        raise ValueRefusedError(f"The kernel made {key} = {found} of {value}: choose another value.")


def running_sysctl(key: str) -> str:
    """Return a sysctl's value with single spaces between its numbers."""
    try:
        return " ".join(sysctl_path(key).read_text().split())
    except FileNotFoundError:
        raise ValueRefusedError(f"The running kernel has no sysctl {key}: boot one of Debian's own kernels.") from None


def sysctl_path(key: str) -> Path:
    """Return where the kernel shows a sysctl."""
    return Path("/proc/sys", key.replace(".", "/"))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "role": {"type": "str", "required": True},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "required": True},
                    "mode": {"type": "str", "default": "0644"},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                },
            },
            "knobs": {"type": "list", "elements": "dict", "default": []},
            "sysctls": {"type": "dict", "default": {}},
            "values": {"type": "dict", "default": {}},
            "desired": {"type": "path", "default": "/etc/wirebook/desired.d"},
            "ledger": {"type": "path", "default": str(FOLDER)},
        },
        supports_check_mode=True,
    )
    arguments = module.params
    try:
        files = [wanted(entry) for entry in arguments["files"]]
    except KeyError as error:
        module.fail_json(
            msg=f"The files of role {arguments['role']} need a user or group that isn't there: {error.args[0]}."
        )
    state = fragment(arguments["role"], files, arguments["knobs"], arguments["desired"])
    stale = left_over(state.current(), files)
    # The fragment is written last: node-doctor must never ask for what isn't on the disk yet.
    off = [file for file in [*files, state] if not file.is_right()]
    diff = [
        {
            "before_header": str(file.path),
            "after_header": str(file.path),
            "before": file.current() or "",
            "after": file.content,
        }
        for file in off
    ]
    diff += [
        {"before_header": str(path), "after_header": str(path), "before": path.read_text(), "after": ""}
        for path in stale
    ]
    try:
        running = {key: running_sysctl(key) for key in arguments["sysctls"]}
        sysctls = {key: str(value) for key, value in arguments["sysctls"].items() if running[key] != str(value)}
        diff += [{"before": f"{key} = {running[key]}\n", "after": f"{key} = {sysctls[key]}\n"} for key in sysctls]
        found = {Path(path): running_value(Path(path)) for path in arguments["values"]}
        values = {
            path: str(arguments["values"][str(path)])
            for path, text in found.items()
            if text is not None and not is_same(path, text, str(arguments["values"][str(path)]))
        }
        diff += [{"before": f"{path} {found[path]}\n", "after": f"{path} {values[path]}\n"} for path in values]
        if not module.check_mode:
            written = [*map(sysctl_path, sysctls), *values]
            note(Ledger.open(Path(arguments["ledger"])), arguments["role"], off, written)
            for path in stale:
                path.unlink()
            for file in off:
                file.write()
            for key, value in sysctls.items():
                set_sysctl(key, value)
            for path, value in values.items():
                if warning := set_value(path, value):
                    module.warn(warning)
    except (ValueRefusedError, LedgerError) as error:
        module.fail_json(msg=str(error))
    changed = [*map(str, stale), *(str(file.path) for file in off)]
    module.exit_json(
        changed=bool(changed or sysctls or values),
        changed_paths=changed,
        changed_sysctls=sorted(sysctls),
        changed_values=sorted(map(str, values)),
        diff=diff,
    )


if __name__ == "__main__":
    main()
