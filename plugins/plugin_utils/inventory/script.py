"""One file that reads what a host is: for who stands at the machine, and has nothing but its Python."""

from __future__ import annotations

import shutil
import tempfile
import zipapp
from pathlib import Path

from .specs import ROOT, load

_MAIN = '''"""Print what this host is, for wirebook's inventory; nothing is changed."""

import json
import sys

from topology.host import read_host

json.dump(read_host(), sys.stdout, indent=2)
print()
'''


def write(target: Path) -> None:
    """Write the program, whose modules are those of node-doctor's that know hosts."""
    library = ROOT / "plugins/module_utils"
    modules = [
        name
        for name in load(ROOT / "roles/programs/vars/main.yml")["__programs_modules"]
        if name.startswith("topology/")
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in modules:
            (Path(folder) / name).parent.mkdir(exist_ok=True)
            shutil.copy(library / name, Path(folder) / name)
        (Path(folder) / "__main__.py").write_text(_MAIN)
        target.parent.mkdir(parents=True, exist_ok=True)
        zipapp.create_archive(folder, target, interpreter="/usr/bin/env python3")
