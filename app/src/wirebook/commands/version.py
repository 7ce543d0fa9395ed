"""`wirebook --version`."""

from __future__ import annotations

from wirebook import __version__
from wirebook.core import build_info as build


def text(*, verbose: bool) -> str:
    """The version; `verbose` adds how this build was made and what it needs."""
    lines = [f"wirebook {__version__}"]
    if verbose:
        lines += [
            f"compiler      {build.COMPILER}, {build.OPTIMIZATION} -march={build.MARCH}",
            f"link-time     {'optimised' if build.LTO else 'not optimised'}",
            f"profile       {'guided by a replay' if build.PGO else 'none'}",
            f"AF_XDP        {'built in' if build.AF_XDP else 'left out: libxdp, libbpf or clang was not there'}",
            f"CPU must have {' '.join(sorted(build.CPU_FLAGS)) or 'nothing beyond x86-64'}",
        ]
    return "\n".join(lines)
