"""The host as it will be, drawn in ASCII: what runs where, and what was derived."""

from __future__ import annotations

from collections.abc import Iterator

from .advice import l3_of, warnings
from .cpus import format_cpus
from .derive import derive, interrupt_cpus, siblings_to_offline
from .model import Host, Nic, Node, Wish
from .refusals_clock import clock_owners
from .refusals_nic import why_management

# Cores side by side: with two threads and numbers of three digits such a line still fits 80 columns.
CORES_IN_A_LINE = 4


def draw(name: str, wish: Wish, host: Host) -> list[str]:
    """Return the drawing of a host, a line each; the wish must have been granted (`model.refusals`)."""
    boxes = [(_title(node, host), _rows(node, wish, host)) for node in host.nodes.values()]
    elsewhere = list(_nics(None, wish, host))
    if elsewhere:
        boxes.append(("on no node that the firmware tells", elsewhere))
    width = max(max(len(title) + 2, *map(len, rows)) for title, rows in boxes)
    return [
        f"{name}: {host.os_name}, Linux {host.kernel}",
        *(line for title, rows in boxes for line in ("", *_box(title, rows, width))),
        "",
        *_derived(wish, host),
    ]


def _box(title: str, rows: list[str], width: int) -> list[str]:
    return [
        f"+- {title} {'-' * (width - len(title) - 1)}+",
        *(f"| {row:{width}} |" for row in rows),
        f"+{'-' * (width + 2)}+",
    ]


def _title(node: Node, host: Host) -> str:
    sockets = format_cpus(host.sockets[cpu] for cpu in node.cpus & host.online)
    memory = _size(node.memory_kb) if node.memory_kb else "no memory"
    return f"{f'socket {sockets}, ' if sockets else ''}node {node.number}, {memory}"


def _rows(node: Node, wish: Wish, host: Host) -> list[str]:
    """Return what is in a node's box; one without CPUs (CXL, HBM, a GPU's) is memory, and may be nothing else."""
    cores = list(_cores(node, wish, host)) or ["no CPUs"]
    return [*cores, *_hugepages(node, wish), *_nics(node.number, wish, host)]


def _cores(node: Node, wish: Wish, host: Host) -> Iterator[str]:
    """Yield the cores as [cpu|sibling] with what they do; neighbours that do the same share a line."""
    groups: list[tuple[str, list[str]]] = []
    drawn: set[int] = set()
    for cpu in sorted(node.cpus & host.online):
        if cpu in drawn:
            continue
        threads = host.siblings[cpu] & host.online
        drawn |= threads
        core = f"[{'|'.join(map(str, sorted(threads)))}]"
        duty = _duty(threads, wish, host) + _kind(node, cpu, host)
        if groups and groups[-1][0] == duty:
            groups[-1][1].append(core)
        else:
            groups.append((duty, [core]))
    lines = [
        (" ".join(cores[start : start + CORES_IN_A_LINE]), "" if start else duty)
        for duty, cores in groups
        for start in range(0, len(cores), CORES_IN_A_LINE)
    ]
    width = max((len(cores) for cores, _ in lines), default=0)
    for cores, duty in lines:
        yield f"{cores:{width}}  {duty}".rstrip()


def _kind(node: Node, cpu: int, host: Host) -> str:
    """Return what tells a core from the others of its node: its L3 cache, if the node has several; an E core."""
    domain = l3_of(host, cpu)
    shares = f", L3 of {format_cpus(domain)}" if domain and not node.cpus & host.online <= domain else ""
    efficient = ", E core" if cpu in host.efficient else ""
    return f"{shares}{efficient}"


def _duty(threads: frozenset[int], wish: Wish, host: Host) -> str:
    if not threads & wish.isolated:
        return "housekeeping, interrupts"
    running = [f"{service} on {cpu}" for service, cpu in wish.services if cpu in threads]
    leaving = threads & siblings_to_offline(wish, host)
    free = threads - leaving - {cpu for _, cpu in wish.services}
    offline = [f"{format_cpus(leaving)} offline"] if leaving else []
    if not running:
        return ", ".join(["isolated, free", *offline])
    return "isolated: " + ", ".join([*running, *([f"{format_cpus(free)} free"] if free else []), *offline])


def _hugepages(node: Node, wish: Wish) -> Iterator[str]:
    for pages in sorted(wish.hugepages, key=lambda pages: pages.size_kb):
        if pages.node == node.number and pages.count:
            size = pages.count * pages.size_kb
            share = size / node.memory_kb
            yield f"hugepages  {pages.count} of {pages.size}: {_size(size)}, {share:.0%} of the node"


def _nics(node: int | None, wish: Wish, host: Host) -> Iterator[str]:
    """Yield the NICs of a node, a duty to a line; None: those of no node."""
    rows = [
        row
        for nic in host.nics
        if (nic.node if nic.node in host.nodes else None) == node
        for row in _nic_rows(nic, wish, host)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip()


def _nic_rows(nic: Nic, wish: Wish, host: Host) -> Iterator[tuple[str, ...]]:
    duties = _nic_duties(nic, wish, host) or ["unused"]
    yield ("NIC", nic.pci, _nic_name(nic, wish), nic.driver or "no driver", duties[0])
    yield from (("", "", "", "", duty) for duty in duties[1:])


def _nic_name(nic: Nic, wish: Wish) -> str:
    return nic.name or next((asked.name for asked in wish.data_nics if asked.pci == nic.pci), "(no interface)")


def _nic_duties(nic: Nic, wish: Wish, host: Host) -> list[str]:
    duties = ["management"] if why_management(nic, wish, host) else []
    for asked in wish.data_nics:
        if asked.pci == nic.pci:
            group = f" in IOMMU group {nic.iommu_group}" if asked.use == "vfio" and nic.iommu_group else ""
            data = f"data, {asked.use}{group}" + (", zero-copy" if asked.zero_copy else "")
            duties.append(data + (f", read by {asked.reader}" if asked.reader else ""))
            if asked.use != "vfio":
                duties.append(f"IRQs on {format_cpus(interrupt_cpus(asked, nic, wish, host))}")
    if nic.name and nic.name == wish.clock.interface:
        duties.append(f"PTP{f' with {nic.phc}' if wish.clock.mode == 'ptp-hardware' else ''}")
    return duties


def _size(kilobytes: int) -> str:
    """Return a size of memory in the unit that leaves few digits."""
    unit, name = (1024 * 1024, "GiB") if kilobytes >= 1024 * 1024 else (1024, "MiB")
    return f"{kilobytes / unit:.1f}".removesuffix(".0") + f" {name}"


def _derived(wish: Wish, host: Host) -> Iterator[str]:
    derived = derive(wish, host)
    yield f"isolated CPUs        {derived['isolated'] or 'none'}"
    yield f"housekeeping CPUs    {derived['housekeeping']}: the service manager, all else, and every interrupt"
    offline = format_cpus({*host.offline, *siblings_to_offline(wish, host)})
    if offline:
        yield f"offline CPUs         {offline}"
    owners = clock_owners(wish, host)
    own = {"host": host.clock_services, "chrony": ("chrony.service",)}.get(wish.clock.mode, ())
    away = [name for name in host.clock_services if name not in own]
    kept = f"; {', '.join(away)} kept away" if away else ""
    yield f"clock                {', '.join(owners) or 'steered by nobody'}{kept}"
    for risk in derived["risks"]:
        yield f"risk accepted        {risk['parameter']}: {risk['costs']}"
    heading = "kernel command line"
    for parameter in derived["kernel_cmdline"] or ["nothing of wirebook's"]:
        yield f"{heading:19}  {parameter}"
        heading = ""
    for sentence in warnings(wish, host):
        yield f"warning              {sentence}"
