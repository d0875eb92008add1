from __future__ import annotations

from kingress.backends import Resolution
from kingress.balance import RoundRobin
from kingress.objects import BackendRef, Target
from kingress.pool import Backend


def backend(count: int) -> Backend:
    made = Backend(Target(BackendRef("shop", "web", 80)), RoundRobin())
    made.update(Resolution(tuple((f"10.0.0.{i}", 80) for i in range(count))))
    return made


def test_what_is_ejected_or_unhealthy_is_not_chosen_unless_nobody_else_is_left() -> None:
    made = backend(3)
    one, two, three = made.peers
    one.ejected, two.unhealthy = 2, True
    made.sort_out()
    assert {made.choose(()) for _ in range(9)} == {three}
    assert made.choose((three,)) in (one, two)
    three.ejected = 1
    made.sort_out()
    assert {made.choose(()) for _ in range(9)} == {one, two, three}


def test_an_ejected_endpoint_comes_back_after_its_ticks() -> None:
    made = backend(2)
    one, _ = made.peers
    one.ejected = 2
    assert made.tick()
    assert made.choose((made.peers[1],)) is one  # nobody else is left
    assert not made.tick()
    assert {made.choose(()) for _ in range(4)} == set(made.peers)


def test_a_cookie_finds_its_endpoint_while_it_is_there_whoever_comes_and_goes() -> None:
    made = backend(2)
    one = made.peers[0]
    made.update(Resolution((("10.9.9.9", 80), ("10.0.0.0", 80))))
    assert made.peer(one.token) is one
    made.update(Resolution((("10.9.9.9", 80),)))
    assert made.peer(one.token) is None
    assert made.peer(b"forged") is None
