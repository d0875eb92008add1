from __future__ import annotations

from netnslab.kubelet.backoff import Backoff


def delays(*runs: float) -> list[float]:
    found, backoff = [], Backoff()
    for ran in runs:
        delay, backoff = backoff.after(ran)
        found.append(delay)
    return found


def test_the_first_restart_is_at_once_and_the_others_wait_twice_as_long_each() -> None:
    assert delays(1, 1, 1, 1, 1, 1, 1, 1) == [0, 10, 20, 40, 80, 160, 300, 300]


def test_a_long_run_makes_up_for_all_earlier_ones() -> None:
    assert delays(1, 1, 1, 700, 1) == [0, 10, 20, 0, 10]
