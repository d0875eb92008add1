"""What an operator chooses, and what follows from it and the Node object."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from kapi.network import Node
from kproxy.settings import Settings, addresses, here, node_duties, on_localhost

NODE = Node("here", "", (ip_address("172.30.0.11"), ip_address("fd30::11")))


@pytest.mark.parametrize(
    ("words", "networks", "localhost"),
    [
        (("primary",), ("172.30.0.11/32", "fd30::11/128"), False),
        (("all",), ("0.0.0.0/0", "::/0"), False),
        (("localhost",), (), True),
        (("localhost", "primary"), ("172.30.0.11/32", "fd30::11/128"), True),
        (("10.0.0.0/8", "localhost"), ("10.0.0.0/8",), True),
        (("127.0.0.0/8",), ("127.0.0.0/8",), True),
        (("all", "localhost", "primary"), ("0.0.0.0/0", "172.30.0.11/32", "::/0", "fd30::11/128"), True),
    ],
)
def test_words_for_node_ports_can_be_mixed(words: tuple[str, ...], networks: tuple[str, ...], localhost: bool) -> None:
    settings = Settings(node_port_addresses=words)
    assert sorted(map(str, node_duties(settings, NODE).node_port_networks)) == sorted(networks)
    assert on_localhost(settings) is localhost


def test_a_node_without_an_object_has_the_addresses_it_was_told() -> None:
    settings = Settings(node_addresses=(ip_address("192.0.2.1"),))
    assert addresses(settings, None) == (ip_address("192.0.2.1"),)
    assert addresses(settings, NODE) == NODE.addresses
    assert here(settings, "here", None).addresses == (ip_address("192.0.2.1"),)
    assert [str(n) for n in node_duties(settings, None).node_port_networks] == ["192.0.2.1/32"]
