from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kproxy.backends.nftables.classes import capacity
from kproxy.backends.nftables.compile import arrange

VALUES = st.lists(st.integers(0, 9).map(lambda n: bytes([n])), max_size=12)


def test_an_endpoint_that_goes_is_replaced_by_the_last() -> None:
    assert arrange([b"a", b"b", b"c", b"d"], [b"a", b"c", b"d"]) == [b"a", b"d", b"c"]


def test_a_new_endpoint_comes_last() -> None:
    assert arrange([b"b", b"a"], [b"a", b"b", b"c"]) == [b"b", b"a", b"c"]


@given(VALUES, VALUES)
def test_arranging_loses_and_invents_nothing(before: list[bytes], now: list[bytes]) -> None:
    assert sorted(arrange(before, now)) == sorted(now)


@given(VALUES, VALUES)
def test_what_stays_within_bounds_stays_in_its_place(before: list[bytes], now: list[bytes]) -> None:
    arranged = arrange(before, now)
    if len(set(now)) == len(now) and len(set(before)) == len(before):
        for index, value in enumerate(before[: len(now)]):
            assert value not in now or arranged[index] == value


@given(st.integers(1, 65536))
def test_more_than_half_of_the_indexes_of_a_class_are_taken(endpoints: int) -> None:
    assert capacity(endpoints) // 2 < endpoints <= capacity(endpoints)
