"""docs/reference/kdns.md says what the command takes and what a Corefile may say: nothing more, nothing less."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from tests.reference import EVERYWHERE

from kdns import chain, cli
from kdns.corefile.directives import DIRECTIVES

TEXT = (Path(__file__).parents[3] / "docs/reference/kdns.md").read_text()
KDNS = Path(__file__).parents[3] / "dns/kdns"


def code(words: str) -> str:
    return f"`{words}`".replace("|", "\\|")


def rows(text: str) -> set[tuple[str, ...]]:
    """The rows of a text's tables that are about flags."""
    found = (re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("| `-"))
    return {tuple(cell.strip() for cell in row) for row in found}


def told(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, str]]:
    """The flags that --help shows, but for itself."""
    for action in parser._actions:
        if action.option_strings and not EVERYWHERE & set(action.option_strings):
            metavar = code(action.metavar) if isinstance(action.metavar, str) else ""
            takes = metavar or ", ".join(map(code, action.choices or ()))
            yield ", ".join(map(code, action.option_strings)), takes, (action.help or "") % vars(action)


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}")[2].partition("\n## ")[0]


def test_every_flag_is_told_as_help_tells_it() -> None:
    assert rows(section("Flags")) == set(told(cli.parser()))


def test_what_explain_takes_beyond_that_is_told() -> None:
    assert rows(section("`kdns explain")) == set(told(cli.explain_parser())) - set(told(cli.parser()))


def test_flags_that_go_together_with_a_corefile_are_told() -> None:
    told_of = section("Flags").rpartition("are not:")[2]
    beside = cli.BESIDE_COREFILE - {"corefile", "name", "type", "pod"}
    assert set(re.findall(r"`--([a-z-]+)`", told_of)) == {name.replace("_", "-") for name in beside}


def test_exit_codes_are_those_of_help() -> None:
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section("Exit codes").splitlines()[4:]]
    epilog = " ".join((cli.parser().epilog or "").partition("exit codes:")[2].split())
    assert epilog == ", ".join(f"{row[0]} {row[1]}" for row in cells if row)


def test_every_directive_is_told() -> None:
    first_cells = [line.split("|")[1] for line in section("Corefile").splitlines() if line.startswith("| `")]
    listed = [name.partition(" ")[0] for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)]
    assert sorted(listed) == sorted([*DIRECTIVES, "import"])


def test_the_order_of_plug_ins_is_told() -> None:
    assert ", ".join(map(code, chain.ORDER)) in " ".join(section("Plug-ins").split())


def test_every_metric_is_told() -> None:
    source = " ".join((KDNS / f"{name}.py").read_text() for name in ("metrics", "app", "pulse", "calls"))
    known = set(re.findall(r"coredns_[a-z_]+[a-z]", source.replace("{name}_total", "")))
    for prefix, names in (
        ("coredns_cache_{}_total", re.findall(r'"(\w+)": counts\.', source)),
        ("coredns_proxy_conn_cache_{}_total", ["hits", "misses"]),
        ("coredns_dns_{}_size_bytes", ["request", "response"]),
        ("coredns_health_request_{}", ["duration_seconds", "failures_total"]),
        ("coredns_kubernetes_rest_client_request{}", ["s_total", "_duration_seconds"]),
    ):
        known |= {prefix.format(name) for name in names}
    whole = {name for name in known if not any(other != name and other.startswith(f"{name}_") for other in known)}
    listed = set(re.findall(r"`(coredns_\w+)`", section("Metrics")))
    assert listed == whole | {name for name in listed if name in known}
