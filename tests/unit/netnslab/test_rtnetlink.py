from __future__ import annotations

import struct
from ipaddress import ip_address, ip_interface, ip_network

from pyroute2.netlink.rtnl import marshal  # the other implementation reads what ours writes

from netnslab import rtnetlink
from netnslab.rtnetlink import Message


def parsed(*messages: Message) -> list[dict[str, object]]:
    return list(marshal.MarshalRtnl().parse(rtnetlink.batch(messages, 1)))


def test_a_veth_pair_is_read_as_one_by_another_implementation() -> None:
    (message,) = parsed(rtnetlink.add_veth(("pod2", 102, b""), ("eth0", 100, b"\x0a\x58\0\0\0\1"), 9))
    assert message["index"] == 102
    assert message.get_attr("IFLA_IFNAME") == "pod2"  # type: ignore[attr-defined]  # a netlink message
    info = message.get_attr("IFLA_LINKINFO")  # type: ignore[attr-defined]  # as above
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert peer["index"] == 100
    assert peer.get_attr("IFLA_IFNAME") == "eth0"
    assert peer.get_attr("IFLA_ADDRESS") == "0a:58:00:00:00:01"
    assert peer.get_attr("IFLA_NET_NS_FD") == 9


def test_routes_are_read_by_another_implementation() -> None:
    one = rtnetlink.add_route(ip_network("10.244.1.0/24"), 4, (ip_address("172.30.0.11"),))
    two = rtnetlink.add_route(ip_network("203.0.113.1/32"), 4, (ip_address("172.30.0.11"), ip_address("172.30.0.12")))
    single, several = parsed(one, two)
    assert single.get_attr("RTA_DST") == "10.244.1.0"  # type: ignore[attr-defined]  # a netlink message
    assert single.get_attr("RTA_GATEWAY") == "172.30.0.11"  # type: ignore[attr-defined]  # as above
    assert single["dst_len"] == 24
    hops = several.get_attr("RTA_MULTIPATH")  # type: ignore[attr-defined]  # as above
    assert [hop.get_attr("RTA_GATEWAY") for hop in hops] == ["172.30.0.11", "172.30.0.12"]


def test_an_ipv6_address_is_usable_at_once() -> None:
    (message,) = parsed(rtnetlink.add_address(4, ip_interface("fd30::b/64")))
    assert message["prefixlen"] == 64
    assert message.get_attr("IFA_FLAGS") == 0x02  # type: ignore[attr-defined]  # a netlink message; IFA_F_NODAD


def test_a_refusal_is_read_with_the_kernels_words() -> None:
    words = b"Invalid something\0"
    attribute = struct.pack("=HH", 4 + len(words), 1) + words + bytes(-len(words) % 4)
    body = struct.pack("=i", -22) + struct.pack("=IHHII", 16, 16, 5, 7, 0) + attribute
    message = struct.pack("=IHHII", 16 + len(body), 2, 0x300, 7, 0) + body
    success = struct.pack("=IHHII", 36, 2, 0x100, 8, 0) + bytes(20)
    assert list(rtnetlink.replies(message + success)) == [(7, 22, "Invalid something"), (8, 0, "")]
