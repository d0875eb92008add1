"""docs/reference/kendpoints.md says what there is: no flag, Event or metric more, none less."""

from __future__ import annotations

import re
from pathlib import Path

from tests.reference import EVERYWHERE

from kendpoints.flags import parser
from kendpoints.metrics import Metrics
from kendpoints.notices import Reason

TEXT = (Path(__file__).parents[3] / "docs/reference/kendpoints.md").read_text()
OF_PAGES = {"workqueue_depth", "leader_election_master_status"}  # which `admin` adds


def section(title: str) -> str:
    return re.split(r"^## ", TEXT.split(f"## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(title: str) -> list[str]:
    """What the first cells of a section's table name."""
    cells = re.findall(r"^\| (`.*?) \|", section(title), re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`{]+)", cell) if name != ", "]


def test_every_flag_is_there_with_what_it_takes() -> None:
    rows = dict(re.findall(r"^\| `(--[^`]+)` \| (?:`([^`]+)` )?\|", section("Flags"), re.MULTILINE))
    flags = [action for action in parser()._actions if not EVERYWHERE & set(action.option_strings)]
    assert rows == {action.option_strings[0]: action.metavar or "" for action in flags}


def test_every_reason_of_an_event_is_there() -> None:
    assert first_cells("Events") == list(map(str, (Reason.LEFT_OUT, Reason.NO_HINTS, *list(Reason)[2:])))


def test_every_metric_is_there() -> None:
    counted = set(re.findall(r"^# TYPE (\w+) ", Metrics(100, 1000).text([]), re.MULTILINE))
    seldom = {"endpoint_slice_controller_services_count_by_traffic_distribution"}  # there where there are such Services
    assert set(first_cells("Metrics")) == counted | OF_PAGES | seldom
