"""What several modules take as an argument alike."""

from __future__ import annotations

from typing import Any

DATA_NICS: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "name": {"type": "str", "required": True},
        "pci": {"type": "str", "required": True},
        "use": {"type": "str", "default": "kernel", "choices": ["kernel", "af_xdp", "vfio"]},
        "reader": {"type": "str", "default": ""},
        "zero_copy": {"type": "bool", "default": False},
        "allow_remote_node": {"type": "bool", "default": False},
    },
}
