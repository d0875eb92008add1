"""A diff of objects: what a person wants to see of a change, and nothing that the server adds."""

from __future__ import annotations

from typing import Any

import pytest

from kendpoints.diff import difference


def obj(**fields: Any) -> dict[str, Any]:
    return {"kind": "Endpoints", "metadata": {"name": "web", "resourceVersion": "7", "uid": "u"}, **fields}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, obj(), ["--- /dev/null", "+++ then/x", "+kind: Endpoints", "+metadata:", "+  name: web"]),
        (obj(), None, ["--- now/x", "+++ /dev/null", "-kind: Endpoints", "-metadata:", "-  name: web"]),
        (obj(a=1), obj(a=2), ["--- now/x", "+++ then/x", "-a: 1", "+a: 2"]),
        (obj(a=1), {**obj(a=1), "metadata": {"name": "web", "resourceVersion": "8"}}, []),
    ],
    ids=["created", "deleted", "changed", "the same but for the version"],
)
def test_a_diff_shows_what_changes(before: Any, after: Any, expected: list[str]) -> None:
    lines = difference("x", before, after).splitlines()
    assert [line for line in lines if line[:1] in ("+", "-")] == expected
