"""Small files of sysfs and procfs, as text."""

from __future__ import annotations

from pathlib import Path


def text_of(path: Path) -> str:
    """Return a file's text without outer white space, or "" where there is none or the kernel lets nobody read it."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ""
