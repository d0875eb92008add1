from __future__ import annotations

from collections import Counter

from kingress.balance import LeastRequests, Peer, RoundRobin

A, B, C = (Peer("10.0.0.1", 80), Peer("10.0.0.2", 80), Peer("fd00::3", 80))


def test_round_robin_takes_each_in_turn() -> None:
    balancer = RoundRobin()
    assert Counter(balancer.choose((A, B, C), ()) for _ in range(30)) == {A: 10, B: 10, C: 10}


def test_what_was_tried_is_not_chosen_again() -> None:
    for balancer in (RoundRobin(), LeastRequests()):
        assert balancer.choose((A, B), (A,)) is B
        assert balancer.choose((A, B), (A, B)) is None
        assert balancer.choose((), ()) is None


def test_round_robin_goes_on_when_peers_come_and_go() -> None:
    balancer = RoundRobin()
    for peers in ((A, B, C), (A,), (A, B), (C,)):
        assert balancer.choose(peers, ()) in peers


def test_least_requests_takes_who_answers_fewest_and_among_equals_each_in_turn() -> None:
    balancer = LeastRequests()
    A.active, B.active, C.active = 2, 1, 1
    assert Counter(balancer.choose((A, B, C), ()) for _ in range(10)) == {B: 5, C: 5}
    A.active = B.active = C.active = 0


def test_a_peer_is_written_as_in_a_url() -> None:
    assert (str(A), str(C)) == ("10.0.0.1:80", "[fd00::3]:80")
