"""All programs, by their names."""

from __future__ import annotations

from . import affinity, clock, hugepages, jitter, nic, node_doctor, release, smt, vfio_bind

PROGRAMS = {
    program.name: program
    for program in (
        node_doctor.PROGRAM,
        affinity.PROGRAM,
        clock.PROGRAM,
        hugepages.PROGRAM,
        jitter.PROGRAM,
        nic.PROGRAM,
        release.PROGRAM,
        smt.PROGRAM,
        vfio_bind.PROGRAM,
    )
}
