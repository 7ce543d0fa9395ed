"""Probes of files, limits, units and processes."""

from __future__ import annotations

from .host import CannotProbeError, Host, cpu_set
from .knobs import ABSENT, Knob, Probe, Reading


def probe_lines(host: Host, knob: Knob) -> Reading:
    """Look for lines that a file must hold."""
    text = host.read(knob.argument("path"))
    if text is None:
        return Reading(ABSENT, running_ok=False)
    there = {line.strip() for line in text.splitlines()}
    lacking = [line for line in knob.want if line.strip() not in there]
    return Reading("lacks " + "; ".join(lacking) if lacking else "all there", running_ok=not lacking)


def probe_owner(host: Host, knob: Knob) -> Reading:
    """Compare a path's owner, group and mode: "root wirebook 0770"."""
    found = host.owner(knob.argument("path")) or ABSENT
    return Reading(found, running_ok=found == knob.want)


def probe_member(host: Host, knob: Knob) -> Reading:
    """Compare the groups of `user`, its own and those it is a member of (passwd(5), group(5)), with `want`."""
    user = knob.argument("user")
    users = {fields[0]: fields[3] for fields in _database(host, "/etc/passwd", 4)}
    if user not in users:
        return Reading(f"no user {user}", running_ok=False)
    groups = [
        name for name, _, number, members in _database(host, "/etc/group", 4)
        if number == users[user] or user in members.split(",")
    ]  # fmt: skip
    return Reading(", ".join(sorted(groups)) or "in no group", running_ok=knob.want in groups)


def _database(host: Host, path: str, fields: int) -> list[list[str]]:
    """Return the first fields of each line of a file such as /etc/passwd."""
    lines = (host.read(path) or "").splitlines()
    return [line.split(":")[:fields] for line in lines if line.count(":") >= fields - 1]


CAP_SYS_RESOURCE = 24  # capabilities(7)


def probe_limit(host: Host, knob: Knob) -> Reading:
    """Compare a resource limit that a session of `user` gets from PAM, soft and hard (pam_limits(8), prlimit(1))."""
    capabilities = int(host.process_status("1", "CapBnd") or "0", 16)
    if host.container() and not capabilities >> CAP_SYS_RESOURCE & 1:
        raise CannotProbeError("this container may not raise limits: it has no CAP_SYS_RESOURCE")
    found = host.session_limits(knob.argument("user")).get(str(knob.argument("item")).upper())
    return Reading(ABSENT if found is None else found, running_ok=found == f"{knob.want} {knob.want}")


CPU_PROPERTIES = frozenset({"CPUAffinity", "AllowedCPUs", "EffectiveCPUs"})


def probe_unit(host: Host, knob: Knob) -> Reading:
    """Compare a property of a systemd unit, as `systemctl show` prints it; CPU lists as sets."""
    name = knob.argument("property")
    found = host.unit(knob.argument("unit")).get(name)
    if found is None:
        return Reading(ABSENT, running_ok=False)
    if name in CPU_PROPERTIES:
        return Reading(found or "none", running_ok=cpu_set(found) == cpu_set(str(knob.want)))
    return Reading(found, running_ok=found == str(knob.want))


def probe_affinity(host: Host, knob: Knob) -> Reading:
    """Compare the CPUs that a process may run on: of `pid`, or of the main process of `unit`."""
    try:
        pid = str(knob.spec["pid"]) if "pid" in knob.spec else host.main_pid(knob.argument("unit"))
    except CannotProbeError as reason:
        return Reading(str(reason), running_ok=False)
    found = host.process_status(pid, "Cpus_allowed_list")
    if found is None:
        return Reading(f"no process {pid}", running_ok=False)
    return Reading(found, running_ok=cpu_set(found) == cpu_set(str(knob.want)))


def probe_locked_memory(host: Host, knob: Knob) -> Reading:
    """Compare the memory that can't be taken from the main process of `unit`: at least `want` kB.

    That is VmLck and HugetlbPages (proc_pid_status(5)): hugetlb pages are never swapped, and mlock doesn't count them.
    """
    try:
        pid = host.main_pid(knob.argument("unit"))
    except CannotProbeError as reason:
        return Reading(str(reason), running_ok=False)
    locked, huge = (host.process_status(pid, key) for key in ("VmLck", "HugetlbPages"))
    if locked is None or huge is None:
        return Reading(f"no process {pid}", running_ok=False)
    held = int(locked.split()[0]) + int(huge.split()[0])
    return Reading(f"{locked} locked, {huge} in hugepages", running_ok=held >= int(knob.want))


PROBES = {
    "lines": Probe(probe_lines, "node"),
    "owner": Probe(probe_owner, "node"),
    "member": Probe(probe_member, "node"),
    "limit": Probe(probe_limit, "node"),
    "unit": Probe(probe_unit, "node"),
    "affinity": Probe(probe_affinity, "node"),
    "locked_memory": Probe(probe_locked_memory, "node"),
}
