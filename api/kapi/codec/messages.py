"""The protobuf form of the API's kinds: which field of which message has which number, name and type.

The facts are in `messages.txt`, one message a line, which `scripts/messages` derives from the Go types of a release:
`package/version.Message: number name type, ...`. Types are `str`, `int`, `bool`, `bytes` (base64 in JSON), `time`,
`microtime`, `duration`, `int-or-string`, `quantity`, `json`, or the name of another message, of the same package where
none is named; `[...]` is a list, `{...}` a map from strings. A zero of a field with `?` is a value; all other zeros
mean that nothing was said. `inline` fields have no name in JSON: their parts belong to the message around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: its JSON name, its type, and whether a zero says something."""

    name: str
    type: str
    optional: bool


@cache
def _lines() -> dict[str, str]:
    text = files(__package__).joinpath("messages.txt").read_text()
    return dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith("#"))


def message(name: str) -> dict[int, Field] | None:
    """Give the fields of a message such as `core/v1.Service`, by number; None where it is not known."""
    return _fields(name) if name in _lines() else None


@cache  # a table for each line of the file at the most: names that callers invent are not remembered
def _fields(name: str) -> dict[int, Field]:
    package = name.rpartition(".")[0]
    table = {}
    for entry in _lines()[name].split(", "):
        number, field, kind = entry.split()
        table[int(number)] = Field(field, _qualified(kind.rstrip("?"), package), kind.endswith("?"))
    return table


def message_of(api_version: str, kind: str) -> str:
    """Give the name of the message that a kind is sent as: `apps/v1` and `Deployment` are `apps/v1.Deployment`."""
    if kind == "DeleteOptions":  # the same in every group
        return "meta/v1.DeleteOptions"
    group, slash, version = api_version.rpartition("/")
    return f"{group.partition('.')[0] if slash else 'core'}/{version}.{kind}"


def _qualified(kind: str, package: str) -> str:
    """Give a type with the package of its message, inside whatever brackets it has."""
    if kind[0] in "[{":
        return f"{kind[0]}{_qualified(kind[1:-1], package)}{kind[-1]}"
    return f"{package}.{kind}" if kind[0].isupper() else kind
