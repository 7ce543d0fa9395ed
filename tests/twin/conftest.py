"""One twin for all tests of a run, and what it was before anything was deployed."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from support import HOST, PROJECT, Twin


@pytest.fixture(scope="session")
def twin() -> Iterator[Twin]:
    """A twin that has just booted its bare image."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    twin = Twin(PROJECT / ".lab" / "test", port)
    twin.succeed("lab-reset")
    try:
        twin.succeed("lab")
        yield twin
    finally:
        # The folder stays: its console log is for whoever has to find out why a test failed.
        twin.succeed("lab-stop")


@pytest.fixture(scope="session")
def model() -> dict[str, Any]:
    """What the inventory says about the twin."""
    command = ["ansible-inventory", "-i", "inventory/lab", "--host", HOST]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    variables: dict[str, Any] = json.loads(result.stdout)
    return variables


@pytest.fixture(scope="session")
def bare(twin: Twin) -> dict[str, set[str]]:
    """What the bare image is."""
    return twin.picture()
