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


TIMES = ((4, 100.0), (14, 200.25))  # "one" was there since 100, "two" and "three" since 200.25


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({"sinceSeconds": "60"}, "two three four"),
        ({"sinceSeconds": "300"}, "one two three four"),
        ({"sinceTime": "1970-01-01T00:02:00Z"}, "two three four"),
        ({"sinceTime": "1970-01-01T02:03:30+02:00"}, "four"),
        ({"sinceSeconds": "60", "tailLines": "2"}, "three four"),
        ({"sinceSeconds": "300", "tailLines": "0"}, ""),
    ],
)
async def test_lines_since_a_moment_are_shown_of_those_at_the_end(query: dict[str, str], shown: str) -> None:
    log = b"one\ntwo\nthree\nfour\n"

    async def growing() -> AsyncIterator[bytes]:
        yield log
        yield b"five\n"

    cut = Cut.of(query, now=250.0)
    assert cut.whole(log, TIMES, 250.0).decode().split() == shown.split()
    followed = [piece async for piece in cut.stream(growing(), lambda: TIMES, lambda: 250.0)]
    assert b"".join(followed).decode().split() == [*shown.split(), "five"]


async def test_each_line_is_stamped_once_with_the_time_it_was_printed() -> None:
    async def growing() -> AsyncIterator[bytes]:
        for piece in (b"one\ntwo", b" and\nthree\n"):
            yield piece

    cut = Cut.of({"timestamps": "true"})
    expected = "1970-01-01T00:01:40.000000000Z one\n1970-01-01T00:03:20.250000000Z two\n"
    assert cut.whole(b"one\ntwo\n", TIMES, 250.0).decode() == expected
    followed = b"".join([piece async for piece in cut.stream(growing(), lambda: TIMES, lambda: 250.0)])
    expected = expected.removesuffix("\n") + " and\n1970-01-01T00:04:10.000000000Z three\n"
    assert followed.decode() == expected


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"sinceSeconds": "1", "sinceTime": "2030-01-01T00:00:00Z"}, "at most one of sinceTime or sinceSeconds"),
        ({"sinceSeconds": "0"}, "must be greater than 0"),
        ({"sinceTime": "yesterday"}, "'yesterday' is not a time"),
    ],
)
def test_a_moment_that_makes_no_sense_is_refused(query: dict[str, str], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        Cut.of(query)


def test_what_needs_the_times_of_lines_is_said_to_be_left_out() -> None:
    assert logs.warnings({"timestamps": "false", "follow": "true"}) == ()
    (told,) = logs.warnings({"timestamps": "true", "sinceSeconds": "5"})
    assert told.startswith("timestamps, sinceSeconds: left out")
