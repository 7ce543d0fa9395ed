"""GRUB's menu as GRUB reads it: words and their quotes, and which entry the next boot starts."""

from __future__ import annotations

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.grub.cmdline import canonical, command_line
from ansible_collections.wirebook.node.plugins.module_utils.grub.entries import entries_of
from ansible_collections.wirebook.node.plugins.module_utils.grub.menu import next_entry
from ansible_collections.wirebook.node.plugins.module_utils.grub.words import as_the_kernel_gets, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("linux /vmlinuz ro quiet", ["linux", "/vmlinuz", "ro", "quiet"]),
        (r"memmap=16M\$256M", ["memmap=16M$256M"]),
        ("memmap='16M$256M'", ["memmap=16M$256M"]),
        (r'memmap="16M\$256M"', ["memmap=16M$256M"]),
        ('dyndbg="file a.c +p" x', ["dyndbg=file a.c +p", "x"]),
        ("acpi_osi='!Windows 2012'", ["acpi_osi=!Windows 2012"]),
        (r'a="b\"c\d"', [r'a=b"c\d']),
        (r"a='b\c'", [r"a=b\c"]),
        (r"a\ b c", ["a b", "c"]),
        ("ro $vt_handoff ${other}quiet", ["ro", "", "quiet"]),
        ("a '' b", ["a", "", "b"]),
        ("price=5$", ["price=5$"]),
        ("ro # a comment", ["ro"]),
        ("a#b ; c", ["a#b"]),
    ],
)
def test_a_line_is_split_into_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["ro", "memmap=16M$256M"], "ro memmap=16M$256M"),
        (["dyndbg=file drivers/usb/* +p"], '"dyndbg=file drivers/usb/* +p"'),
        (["acpi_osi=!Windows 2012"], '"acpi_osi=!Windows 2012"'),
        (["a=it's", 'b="c"', "d\\e"], r"a=it\'s b=\"c\" d\\e"),
    ],
)
def test_the_kernel_gets_the_words_quoted_anew(words: list[str], line: str) -> None:
    assert as_the_kernel_gets(words) == line


@pytest.mark.parametrize(
    ("parameter", "same"),
    [
        ("quiet", "quiet"),
        ('"dyndbg=file a +p"', 'dyndbg="file a +p"'),
        ('dyndbg="file a +p"', 'dyndbg="file a +p"'),
        ('console="ttyS0"', "console=ttyS0"),
        ('"quiet"', "quiet"),
        ("a=b=c", "a=b=c"),
    ],
)
def test_a_parameter_is_the_same_however_it_is_quoted(parameter: str, same: str) -> None:
    assert canonical(parameter) == same
    assert command_line(f"x {parameter} y") == ["x", same, "y"]


def entry(name: str, parameters: str, *, depth: int = 0) -> str:
    indent = "\t" * depth
    return (
        f"{indent}menuentry '{name}' --class debian $menuentry_id_option 'id-{name}' {{\n"
        f"{indent}\tif [ x$grub_platform = xxen ]; then insmod xzio; fi\n"
        f"{indent}\tlinux\t/vmlinuz root=UUID=1 {parameters}\n{indent}}}\n"
    )


def menu(default: str, *, custom: bool = True) -> str:
    """Return what grub-mkconfig writes, with functions, a submenu, and an entry that is no Linux."""
    return (
        'if [ "${next_entry}" ] ; then\n   set default="${next_entry}"\n   set boot_once=true\nelse\n'
        f'   set default="{default}"\nfi\n'
        "function load_video {\n  if [ x$feature_all_video_module = xy ]; then\n    insmod all_video\n  fi\n}\n"
        + entry("Debian", "first")
        + "submenu 'Advanced' $menuentry_id_option 'advanced' {\n"
        + entry("new", "second", depth=1)
        + entry("recovery", "single", depth=1)
        + "}\n"
        + "menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {\n\tfwsetup\n}\n"
        + ("if [ -f  ${config_directory}/custom.cfg ]; then\n  source ${config_directory}/custom.cfg\nfi\n" * custom)
    )


CUSTOM = entry("trial", "trial")


@pytest.mark.parametrize(
    ("default", "environment", "found"),
    [
        ("0", "", "first"),
        ("1", "", "second"),
        ("1>1", "", "single"),
        ("Advanced>recovery", "", "single"),
        ("advanced>id-recovery", "", "single"),
        ("id-Debian", "", "first"),
        ("no such entry", "", "first"),
        ("9", "", "first"),
        ("3", "", "trial"),
        ("0", "next_entry=id-trial\n", "trial"),
        ("0", "next_entry=advanced>id-recovery\nsaved_entry=0\n", "single"),
        ("0", "next_entry=\n", "first"),
        ("0", "saved_entry=advanced>id-recovery\n", "first"),
        ("${saved_entry}", "saved_entry=advanced>id-recovery\n", "single"),
        ("${saved_entry}", "# GRUB Environment Block\n####", "first"),
        ("${saved_entry}", "next_entry=id-trial\nsaved_entry=1\n", "trial"),
    ],
)
def test_the_next_boot_starts_one_entry(default: str, environment: str, found: str) -> None:
    chosen = next_entry(menu(default), CUSTOM, environment)
    assert chosen is not None
    assert chosen.parameters == ["root=UUID=1", found]


def test_custom_entries_count_only_where_grub_reads_them() -> None:
    chosen = next_entry(menu("0", custom=False), CUSTOM, "next_entry=id-trial\n")
    assert chosen is not None
    assert chosen.parameters[-1] == "first"


def test_a_menu_without_entries_starts_nothing() -> None:
    assert next_entry("set timeout=5\n", "", "") is None


def test_an_entry_knows_its_title_and_its_id() -> None:
    (one,) = entries_of(entry("trial", "x"))
    assert (one.title, one.id) == ("trial", "id-trial")
