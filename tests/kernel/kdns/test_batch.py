"""Many datagrams at once: each query gets the reply that is its own, whatever its size."""

from __future__ import annotations

import socket

import pytest

from kdns.batch import SIZE, Batch


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_replies_that_are_larger_than_a_place_in_the_batch_go_out_beside_it(family: int, address: str) -> None:
    sizes = [(12, 4096, 4097, 20_000, 0, 13)[slot % 6] for slot in range(SIZE)]
    with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
        server.bind((address, 0))
        client.connect(server.getsockname()[:2])
        client.settimeout(5)
        for slot in range(SIZE):
            client.send(bytes((slot,)))
        asked = Batch(server).exchange(lambda data, slot: data * sizes[slot] or None)
        replies = [client.recv(65_535) for size in sizes if size]
    assert asked == SIZE
    assert sorted(replies) == sorted(bytes((slot,)) * size for slot, size in enumerate(sizes) if size)
