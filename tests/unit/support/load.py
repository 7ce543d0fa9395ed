"""Loads a role's program as a module, so that its parts can be tested."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType


def load_program(path: Path) -> ModuleType:
    """Return the program at `path`, which has no suffix, as a module."""
    loader = SourceFileLoader(path.name.replace("-", "_"), str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module  # dataclasses look for their module there
    loader.exec_module(module)
    return module
