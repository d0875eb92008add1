"""The columns in which `kubectl get` shows objects, and how times and maps are written in them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
Cell = Callable[[Json, datetime], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, what its cells hold, and how a cell is made. `wide` ones show with `-o wide` only."""

    name: str
    cell: Cell
    description: str = ""
    type: str = "string"
    format: str = ""
    wide: bool = False

    def definition(self) -> Json:
        """Give the column's entry in a Table."""
        priority = 1 if self.wide else 0
        text = self.description or f"{self.name} of the object."
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": text,
            "priority": priority,
        }


def at(path: str, default: Any = "<none>") -> Cell:
    """Show the field at a dotted path."""
    parts = path.split(".")

    def cell(obj: Json, _: datetime) -> Any:
        value: Any = obj
        for part in parts:
            value = value.get(part) if isinstance(value, dict) else None
        return default if value in (None, "", []) else value

    return cell


def number(path: str) -> Cell:
    """Show a number, 0 where there is none."""
    return at(path, 0)


def since(path: str) -> Cell:
    """Show how long ago a time was."""
    find = at(path, "")
    return lambda obj, now: age(find(obj, now), now)


def age(then: str, now: datetime) -> str:
    """Give the time since `then` as kubectl writes it: two units at most, one from a day on."""
    moment = parse_time(then)
    return "<unknown>" if moment is None else duration(max(0, int((now - moment).total_seconds())))


def parse_time(text: str) -> datetime | None:
    """Read a time as objects carry it; None where there is none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None


def duration(seconds: int) -> str:
    """Write a duration as `k8s.io/apimachinery/pkg/util/duration.HumanDuration` does."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    years = days // 365
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(large: int, unit: str, small: int, smaller: str) -> str:
    return f"{large}{unit}{small}{smaller}" if small else f"{large}{unit}"


def pairs(labels: Json | None) -> str:
    """Write a map as `a=b,c=d`."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def shortened(items: Iterable[str], most: int = 3) -> str:
    """Write a list as the first few of it, and how many more there are."""
    found = list(items)
    if not found:
        return "<none>"
    more = f" + {len(found) - most} more..." if len(found) > most else ""
    return ",".join(found[:most]) + more


NAME = Column("Name", at("metadata.name"), "Name, unique in the namespace.", format="name")
AGE = Column("Age", since("metadata.creationTimestamp"), "Time since the object was created.")
CREATED = Column("Created At", at("metadata.creationTimestamp"), "When the object was created.")
PLAIN = (NAME, CREATED)
