"""The inventory's files as YAML sees them: what isn't YAML, what it reads otherwise than was meant, what nobody reads.

Ansible says some of this too, one thing at a time, or reads on as if nothing were.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from .names import instead, nearest
from .places import Mistake, Place, shown

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What Ansible reads of a folder of variables (C.YAML_FILENAME_EXTENSIONS).
SUFFIXES = (".yml", ".yaml", ".json")
FOLDERS = ("group_vars", "host_vars")
GROUP_KEYS = ("children", "hosts", "vars")
_INT, _FLOAT, _STR = (f"tag:yaml.org,2002:{name}" for name in ("int", "float", "str"))
_VAULT = "$ANSIBLE_VAULT"


@dataclass
class Written:
    """What the files of an inventory say, by the names in them."""

    mistakes: list[Mistake] = field(default_factory=list)
    # Whether Ansible can read on: with broken YAML it can't.
    readable: bool = True
    hosts: dict[str, Place] = field(default_factory=dict)
    groups: dict[str, Place] = field(default_factory=dict)
    # For each file of variables, the lines of its own.
    variables: dict[str, dict[str, int]] = field(default_factory=dict)

    def refuse(self, place: Place, what: str, sentence: str) -> None:
        """Note a mistake."""
        self.mistakes.append(Mistake(place, what, sentence))


def read(inventory: Path, is_ours: re.Pattern[str]) -> Written:
    """Read all files of an inventory, a folder or a file; `is_ours` matches the variables that are wirebook's."""
    written = Written()
    top = inventory if inventory.is_dir() else inventory.parent
    sources = [inventory] if inventory.is_file() else [path for path in sorted(top.iterdir()) if _is_source(path)]
    for path in sources:
        root = _compose(path, written) if path.suffix in SUFFIXES else None
        if isinstance(root, yaml.MappingNode) and "plugin" not in _keys(root):
            _groups(root, shown(str(path)), written, is_ours)
    for path in (path for folder in FOLDERS for path in variable_files(top / folder)):
        root = _compose(path, written)
        if root is None:
            continue
        file = shown(str(path))
        if isinstance(root, yaml.MappingNode):
            written.variables[file] = {key: node.start_mark.line + 1 for key, node in _keys(root).items()}
            _values(root, file, written, is_ours, ours=False)
        else:
            written.readable = False
            written.refuse(
                _place(file, root), path.name, "has no variables: write NAME, a colon, a space and the value."
            )
    _folders(top, written)
    return written


def variable_files(folder: Path) -> list[Path]:
    """Return the files of variables in group_vars or host_vars: Ansible reads NAME, NAME.yml and all below NAME/."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.is_dir() else []
    return [
        path
        for path in files
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and (path.suffix in SUFFIXES or not path.suffix)
    ]


def unread(inventory: Path, hosts: set[str], groups: dict[str, bool]) -> Iterator[Mistake]:
    """Yield the files of variables that no host reads; of the groups, whether they have hosts."""
    top = inventory if inventory.is_dir() else inventory.parent
    for folder, kind, known in (("host_vars", "host", hosts), ("group_vars", "group", set(groups))):
        for path in sorted((top / folder).iterdir()) if (top / folder).is_dir() else []:
            if path.name.startswith(".") or path.name.endswith("~"):
                continue
            name = (
                path.name if path.is_dir() else path.name.removesuffix(path.suffix if path.suffix in SUFFIXES else "")
            )
            stem = path.name.partition(".")[0]
            place = Place(shown(str(path)))
            if name in known:
                if kind == "group" and not groups[name]:
                    yield Mistake(place, path.name, f"the group {name} has no hosts, so that nothing reads this file: "
                                  "put hosts into the group, or take the file away.")  # fmt: skip
            elif path.suffix and path.suffix not in SUFFIXES and not path.is_dir():
                if stem in known and path.suffix != ".md":
                    yield Mistake(
                        place,
                        path.name,
                        f"Ansible reads no files with this ending: call it {stem}.yml, or take it away.",
                    )
            else:
                near = nearest(name, known)
                yield Mistake(
                    place,
                    path.name,
                    f"there is no {kind} {name}, so that nothing reads this file: "
                    + (f"call it {near}{path.suffix}, or " if near else "")
                    + f"add the {kind} to the inventory, or take the file away.",
                )


def _is_source(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and not path.name.endswith("~")


def _place(file: str, node: yaml.Node) -> Place:
    return Place(file, node.start_mark.line + 1)


def _keys(node: yaml.MappingNode) -> dict[str, yaml.Node]:
    return {key.value: key for key, _ in node.value if isinstance(key, yaml.ScalarNode)}


def _compose(path: Path, written: Written) -> yaml.Node | None:
    """Return a file's YAML; None where there is none, or it is encrypted, or was refused."""
    file = shown(str(path))
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        written.readable = False
        written.refuse(
            Place(file), path.name, f"it can't be read ({error.strerror}): give yourself the right, or take it away."
        )
        return None
    except UnicodeDecodeError as error:
        written.readable = False
        written.refuse(Place(file), path.name, f"byte {error.start} isn't UTF-8: save the file as UTF-8.")
        return None
    if text.startswith(_VAULT):
        return None
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        written.readable = False
        line, sentence = _why_broken(text.split("\n"), error)
        written.refuse(Place(file, line + 1), "YAML", sentence)
        return None
    return root


def _why_broken(lines: list[str], error: yaml.YAMLError) -> tuple[int, str]:
    """Return the line that broke the YAML, and what to do about it; the parser often notices a line late."""
    mark, begun = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    number = mark.line if mark else 0
    opened = str(getattr(error, "context", None) or "")
    for near in (number, number - 1):
        if 0 <= near < len(lines) and "\t" in lines[near][: len(lines[near]) - len(lines[near].lstrip())]:
            return near, "the line begins with a tab, and YAML takes spaces only: indent it with spaces."
    for near in (number, number - 1, number - 2):
        text = lines[near].strip() if 0 <= near < len(lines) else ""
        if re.match(r"[A-Za-z_]\w*:[^\s/]", text):
            return near, f"there is no space behind the colon: write {text.replace(':', ': ', 1)}."
        if re.match(r"(- )?[A-Za-z_]\w*: \{\{", text):
            return near, "a value that begins with {{ is a mapping to YAML: write it in quotes."
    for kind, what in (("flow", "bracket"), ("quoted", "quote")):
        if kind in opened and begun is not None:
            return begun.line, f"a {what} is opened here and never closed: close it."
    problem = str(getattr(error, "problem", None) or error)
    return min(number, len(lines) - 1), f"this isn't YAML ({problem}): mend the line, or the one before it."


def _values(node: yaml.Node, file: str, written: Written, is_ours: re.Pattern[str], *, ours: bool) -> None:
    """Refuse what YAML reads otherwise than it was meant: keys that are there twice, and numbers that are none."""
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                written.readable = False
                written.refuse(
                    _place(file, key), "YAML", "a value that begins with { is a mapping to YAML: write it in quotes."
                )
                continue
            name = key.value
            if name in first and name != "<<":
                written.refuse(
                    _place(file, key),
                    name,
                    f"it is there twice, in line {first[name]} too, and only the last one counts: take one out.",
                )
            first.setdefault(name, key.start_mark.line + 1)
            _values(value, file, written, is_ours, ours=ours or is_ours.match(name) is not None)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _values(value, file, written, is_ours, ours=ours)
    elif ours and isinstance(node, yaml.ScalarNode) and not node.style and node.tag in (_INT, _FLOAT):
        if ":" in node.value:
            written.refuse(
                _place(file, node),
                node.value,
                f'YAML reads this as a number, in the base of 60: write it in quotes, "{node.value}".',
            )
        elif re.fullmatch(r"[-+]?0[0-7_]+", node.value):
            written.refuse(
                _place(file, node),
                node.value,
                f"YAML reads a number that begins with 0 as octal, {int(node.value.replace('_', ''), 8)}: "
                "write it without the 0.",
            )


def _groups(root: yaml.MappingNode, file: str, written: Written, is_ours: re.Pattern[str]) -> None:
    """Read the groups of an inventory file, and refuse what Ansible would skip."""
    _twice(root, file, written)
    for key, value in root.value:
        if isinstance(key, yaml.ScalarNode):
            written.groups.setdefault(key.value, _place(file, key))
            if isinstance(value, yaml.MappingNode):
                _group(key.value, value, file, written, is_ours)


def _group(name: str, node: yaml.MappingNode, file: str, written: Written, is_ours: re.Pattern[str]) -> None:
    _twice(node, file, written)
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value not in GROUP_KEYS:
            # Without its hosts nothing else that is said of the inventory would be right.
            written.readable = written.readable and nearest(key.value, GROUP_KEYS) not in ("hosts", "children")
            written.refuse(
                _place(file, key),
                f"group {name}",
                f"Ansible skips {key.value} of a group: {instead(key.value, GROUP_KEYS)}.",
            )
        elif isinstance(value, yaml.MappingNode):
            if key.value == "children":
                _groups(value, file, written, is_ours)
            elif key.value == "vars":
                _values(value, file, written, is_ours, ours=False)
            else:
                _twice(value, file, written)
                for host, variables in value.value:
                    if isinstance(host, yaml.ScalarNode):
                        written.hosts.setdefault(host.value, _place(file, host))
                        _values(variables, file, written, is_ours, ours=False)
        elif not (isinstance(value, yaml.ScalarNode) and not value.value):
            written.readable = False
            written.refuse(
                _place(file, value),
                f"group {name}",
                f"its {key.value} must be names with a colon behind each: write each on a line of its own, "
                "such as `colo1:`.",
            )


def _twice(node: yaml.MappingNode, file: str, written: Written) -> None:
    first: dict[str, int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in first:
                written.refuse(
                    _place(file, key),
                    key.value,
                    f"it is there twice, in line {first[key.value]} too, and only the last one counts: take one out.",
                )
            first.setdefault(key.value, key.start_mark.line + 1)


def _folders(top: Path, written: Written) -> None:
    for path in sorted(top.iterdir()):
        near = nearest(path.name, FOLDERS, 0.75) if path.is_dir() and path.name not in FOLDERS else ""
        if near:
            written.refuse(Place(shown(str(path))), path.name, f"Ansible doesn't read this folder: call it {near}.")
