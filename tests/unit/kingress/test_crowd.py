"""What the processes of an ingress share by memory, tried with processes."""

from __future__ import annotations

import os
from collections.abc import Callable

from kingress.balance import Peer
from kingress.crowd import Crowd
from kingress.ejections import Ejections
from kingress.objects import BackendRef, Target

WEB, API = (Target(BackendRef("shop", name, 80)) for name in ("web", "api"))


def beside(work: Callable[[], object]) -> None:
    """Do something in another process, and wait for its end."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def test_the_connections_of_all_processes_are_counted_together() -> None:
    crowd = Crowd(2)
    crowd.begin(0)

    def other() -> None:
        crowd.begin(1)
        crowd.note(5)
        crowd.admit("192.0.2.1")

    beside(other)
    assert crowd.note(2) == 7
    assert [crowd.admit("192.0.2.1"), crowd.admit("192.0.2.2"), crowd.admit("192.0.2.1")] == [2, 1, 3]
    crowd.dismiss("192.0.2.1")
    crowd.begin(1)
    assert (crowd.note(0), crowd.admit("192.0.2.1")) == (2, 2), (
        "who takes the place of one that died counts from nothing"
    )


def test_an_endpoint_that_one_process_leaves_alone_is_known_to_the_others() -> None:
    ejections, peer = Ejections(), Peer("10.0.0.1", 80)
    assert not ejections.changed()
    beside(lambda: ejections.put(WEB, peer, 70.5))
    assert ejections.changed()
    assert not ejections.changed()
    assert ejections.end(WEB, peer) == 70.5
    assert ejections.end(API, peer) == ejections.end(WEB, Peer("10.0.0.2", 80)) == 0.0
