"""docs/reference/kproxy.md says what the command takes: no flag, field or exit code more, none less."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from tests import reference
from tests.reference import code, options

from kproxy import flags
from kproxy.configuration import Configuration

TEXT = (Path(__file__).parents[3] / "docs/reference/kproxy.md").read_text()
OF_NO_FLAG: dict[tuple[str, ...], str] = {
    ("--kubeconfig",): "clientConnection.kubeconfig"
}  # fields whose flags are every component's


def takes(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return code(action.metavar)
    return ", ".join(code(choice) for choice in action.choices or ())


def fields_of(action: argparse.Action) -> str:
    named = {flag.name: flag.fields for flag in flags.FLAGS}
    found = [".".join(field) for option in action.option_strings for field in named.get(option, ())]
    return ", ".join(map(code, found or filter(None, [OF_NO_FLAG.get(tuple(action.option_strings), "")])))


def rows(text: str) -> set[tuple[str, ...]]:
    """The rows of a text's tables that are about flags."""
    found = (re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("| `-"))
    return {tuple(cell.strip() for cell in row) for row in found}


def known(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Every field of the configuration file."""
    for name, field in model.model_fields.items():
        here = path + (field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from known(field.annotation, f"{here}.")
        else:
            yield here


def section(title: str) -> str:
    return reference.section(TEXT, title)


def test_every_flag_is_told_as_help_tells_it() -> None:
    wanted = {
        (", ".join(map(code, a.option_strings)), takes(a), fields_of(a), a.help or "") for a in options(flags.parser())
    }
    assert rows(section("Flags")) == wanted


def test_flags_without_effect_are_told() -> None:
    listed = section("Flags").partition("do nothing:")[2]
    assert sorted(re.findall(r"`(--[a-z-]+)`", listed)) == sorted(flags.WITHOUT_EFFECT)


def test_every_field_of_the_file_is_told_once_with_its_flag_or_as_without_effect() -> None:
    of_flags = [".".join(field) for flag in flags.FLAGS for field in flag.fields]
    others = re.findall(r"`([A-Za-z.]+)`", section("Fields without a flag"))
    assert sorted([*of_flags, *OF_NO_FLAG.values(), *others]) == sorted(known(Configuration))


def test_what_explain_takes_beyond_that_is_told() -> None:
    have = {option for action in options(flags.parser()) for option in action.option_strings}
    more = [a for a in options(flags.explaining()) if not have & set(a.option_strings)]
    wanted = {(", ".join(map(code, a.option_strings)), takes(a), a.help or "") for a in more}
    assert rows(section("`kproxy explain")) == wanted
    arguments = " ".join(str(a.metavar) for a in flags.explaining()._actions if not a.option_strings)
    assert f"`kproxy explain {arguments}`" in TEXT


def test_exit_codes_are_those_of_help() -> None:
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section("Exit codes").splitlines()[4:]]
    for parser, column in ((flags.parser(), 1), (flags.explaining(), 2)):
        told = " ".join((parser.epilog or "").partition("exit codes:")[2].split())
        assert told == ", ".join(f"{row[0]} {row[column]}" for row in cells if row[column])
