from __future__ import annotations

from ipaddress import ip_address

from kdns.resolvconf import upstreams
from kdns.settings import Upstream

TEXT = """\
# a comment
search example.org
nameserver 192.0.2.1
nameserver 2001:db8::1
nameserver fe80::1%eth0
nameserver nonsense
nameserver
nameserver 192.0.2.1
options ndots:5
"""


def test_servers_come_in_order_once_each_and_nonsense_is_skipped() -> None:
    assert upstreams(TEXT) == (Upstream("192.0.2.1"), Upstream("2001:db8::1"), Upstream("fe80::1%eth0"))


def test_the_server_itself_is_never_its_own_upstream() -> None:
    loopback = "nameserver 127.0.0.1\nnameserver 10.0.0.1\nnameserver 192.0.2.1"
    everywhere = upstreams(loopback, [(ip_address("0.0.0.0"), 53)])
    one = upstreams(loopback, [(ip_address("10.0.0.1"), 53)])
    other_port = upstreams(loopback, [(ip_address("0.0.0.0"), 5300)])
    assert [len(found) for found in (everywhere, one, other_port)] == [2, 2, 3]
    assert Upstream("127.0.0.1") not in everywhere
    assert Upstream("10.0.0.1") not in one
