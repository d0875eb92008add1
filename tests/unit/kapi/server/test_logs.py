from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kapi.errors import BadRequest
from kapi.server import logs
from kapi.server.logs import Cut


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, b"one\ntwo\nthree\n"),
        ({"tailLines": "2"}, b"two\nthree\n"),
        ({"tailLines": "0"}, b""),
        ({"limitBytes": "5"}, b"one\nt"),
        ({"tailLines": "1", "limitBytes": "3"}, b"thr"),
    ],
)
async def test_the_same_part_is_shown_of_a_log_that_is_whole_and_of_one_that_grows(
    query: dict[str, str], shown: bytes
) -> None:
    async def growing() -> AsyncIterator[bytes]:
        yield b"one\ntwo\nthree\n"

    assert Cut.of(query).whole(b"one\ntwo\nthree\n") == shown
    assert b"".join([piece async for piece in Cut.of(query).stream(growing())]) == shown


async def test_what_is_added_later_is_shown_whatever_the_number_of_lines_and_until_the_limit_of_bytes() -> None:
    async def growing() -> AsyncIterator[bytes]:
        for piece in (b"one\ntwo\n", b"", b"three\nfour\n", b"five\n"):
            yield piece

    assert [p async for p in Cut(lines=1).stream(growing())] == [b"two\n", b"three\nfour\n", b"five\n"]
    assert [p async for p in Cut(most=10).stream(growing())] == [b"one\ntwo\n", b"th"]


@pytest.mark.parametrize("name", ["tailLines", "limitBytes"])
@pytest.mark.parametrize("value", ["-1", "x", "1.5", "9" * 20])
def test_what_is_no_number_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(BadRequest, match=name):
        Cut.of({name: value})


def test_what_needs_the_times_of_lines_is_said_to_be_left_out() -> None:
    assert logs.warnings({"timestamps": "false", "follow": "true"}) == ()
    (told,) = logs.warnings({"timestamps": "true", "sinceSeconds": "5"})
    assert told.startswith("timestamps, sinceSeconds: left out")
