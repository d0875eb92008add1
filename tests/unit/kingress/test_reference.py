"""docs/reference/kingress.md says what there is: no flag, annotation, limit, page, metric or field more, none less."""

from __future__ import annotations

import re
from dataclasses import asdict

from tests import reference
from tests.reference import code, rows, section

from kingress import admin, cli
from kingress.controller import Reason
from kingress.features import FEATURES, FOREIGN_GUARDS, NGINX
from kingress.settings import Settings

TEXT = (reference.FOLDER / "kingress.md").read_text()  # metrics and logs are held to it where they are made
BY_FLAGS = {"body_rate", "client_connections", "connections", "drain", "proxy_protocol", "trusted"}
NEVER_TOLD = {
    "tick",  # what the others are kept to
    "connect_timeout",  # these three are told with their annotations
    "response_timeout",
    "send_timeout",
}


def told(title: str) -> set[tuple[str, ...]]:
    """The rows of a section that begin with something in code."""
    return {row for row in rows(section(TEXT, title)) if row[0].startswith("`")}


def test_every_flag_is_told_as_help_tells_it() -> None:
    assert told("Flags") == reference.flags(cli.parser())


def test_explain_is_told_as_its_help_tells_it() -> None:
    assert told("`kingress explain URL`") == reference.flags(cli.explainer())


def test_exit_codes_are_those_of_help() -> None:
    cells = [row for row in rows(section(TEXT, "Exit codes")) if row[0].isdigit()]
    meant = " ".join((cli.parser().epilog or "").partition("exit codes:")[2].split())
    assert meant == "; ".join(f"{row[0]} {row[1]}" for row in cells)


def test_every_annotation_is_told_with_those_of_ingress_nginx_and_whether_it_guards() -> None:
    assert told("Annotations") == {
        (code(each.name), each.means + ("; **guards**" if each.guards else ""), ", ".join(map(code, each.nginx)))
        for each in FEATURES
    }
    foreign = section(TEXT, "Annotations").partition("close their routes:")[2].partition(".\n")[0]
    assert {NGINX + name for name in re.findall(r"`([a-z-]+)`", foreign)} == FOREIGN_GUARDS


def test_every_limit_is_told_with_its_value() -> None:
    wanted = {
        (code(name), f"{value:g}") for name, value in asdict(Settings()).items() if name not in BY_FLAGS | NEVER_TOLD
    }
    assert {(row[0], row[2]) for row in told("Limits and time-outs")} == wanted


def test_every_reason_of_an_event_is_told() -> None:
    assert {row[0] for row in told("Events")} == {code(reason) for reason in Reason}


def test_every_page_is_told() -> None:
    pages = {name for name, each in vars(admin.Pages).items() if callable(each) and not name.startswith("_")}
    assert {row[0] for row in told("Pages")} == {code(f"/{name}") for name in pages - {"page"}} | {code("/")}
