from __future__ import annotations

from collections import Counter
from random import Random

from kingress.balance import LeastRequests, Peer, Rendezvous, RoundRobin, TwoChoices

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


def test_of_two_drawn_at_random_the_one_with_fewer_requests_is_taken() -> None:
    A.active = 5
    drawn = Random(1)
    chosen = Counter(TwoChoices(drawn.randrange).choose((A, B, C), ()) for _ in range(300))
    A.active = 0
    assert chosen[A] == 0
    assert min(chosen[B], chosen[C]) > 100
    assert TwoChoices(drawn.randrange).choose((A, B), (A,)) is B
    assert TwoChoices(drawn.randrange).choose((), ()) is None


def test_a_key_stays_with_its_endpoint_and_moves_only_when_that_goes() -> None:
    peers = tuple(Peer(f"10.0.0.{i}", 80) for i in range(10))
    keys = [b"user-%d" % i for i in range(1000)]
    before = {key: Rendezvous().choose(peers, (), key) for key in keys}
    assert all(60 < count < 140 for count in Counter(before.values()).values())
    gone, left = peers[3], tuple(peer for peer in peers if peer is not peers[3])
    after = {key: Rendezvous().choose(left, (), key) for key in keys}
    assert all(after[key] is before[key] for key in keys if before[key] is not gone)
    more = (*peers, Peer("10.0.0.99", 80))
    moved = [key for key in keys if Rendezvous().choose(more, (), key) is not before[key]]
    assert 40 < len(moved) < 160


def test_an_endpoint_is_known_by_the_same_token_in_every_process() -> None:
    assert Peer("10.0.0.1", 80).token == A.token != B.token
    assert A.token == b"%016x" % int(A.token, 16)
