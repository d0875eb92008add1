from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from netnslab.errors import KernelError
from netnslab.kernel import Namespace
from netnslab.steps import Assign, Attach, Bridge, RemoveLink, RemoveLinks, Route, Sysctl, Unroute, Up, Veth


@pytest.fixture
def near() -> Iterator[Namespace]:
    with Namespace.create() as namespace:
        yield namespace


@pytest.fixture
def far() -> Iterator[Namespace]:
    with Namespace.create() as namespace:
        yield namespace


def home() -> str:
    """The network namespace this thread is in."""
    return str(Path("/proc/thread-self/ns/net").readlink())


def shown(namespace: Namespace, *command: str) -> str:
    """What the `ip` command says inside a namespace."""
    with namespace.entered():
        return subprocess.run(["ip", *command], capture_output=True, text=True, check=True).stdout


def paired(near: Namespace, far: Namespace) -> None:
    far.apply([Up("lo")])
    near.apply(
        [
            Up("lo"),
            Veth("eth0", "far", "eth1"),
            Assign("eth0", ip_interface("192.0.2.1/24")),
            Assign("eth0", ip_interface("2001:db8::1/64")),
        ],
        {"far": far},
    )
    far.apply([Assign("eth1", ip_interface("192.0.2.2/24")), Assign("eth1", ip_interface("2001:db8::2/64"))])


def test_the_process_stays_in_its_own_namespace(near: Namespace) -> None:
    before = home()
    with near.entered():
        assert home() != before
    near.apply([Up("lo"), Bridge("br0")])
    assert home() == before
    assert not Path("/sys/class/net/br0").exists()


def test_the_process_returns_when_the_code_inside_fails(near: Namespace) -> None:
    before = home()
    with pytest.raises(ZeroDivisionError), near.entered():
        _ = 1 / 0
    assert home() == before


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "192.0.2.2"), (socket.AF_INET6, "2001:db8::2")])
def test_a_veth_pair_carries_packets_at_once(near: Namespace, far: Namespace, family: int, address: str) -> None:
    paired(near, far)
    with far.socket(family, socket.SOCK_DGRAM) as receiver, near.socket(family, socket.SOCK_DGRAM) as sender:
        receiver.bind((address, 5000))
        receiver.settimeout(2)
        sender.sendto(b"hello", (address, 5000))
        assert receiver.recv(100) == b"hello"


def test_a_bridge_port_is_isolated_and_may_be_a_hairpin(near: Namespace, far: Namespace) -> None:
    near.apply(
        [Bridge("br0", bytes.fromhex("0a0000000001")), Veth("p0", "far", "eth0"), Attach("p0", "br0", True, True)],
        {"far": far},
    )
    port = shown(near, "-d", "link", "show", "p0")
    assert "master br0" in port
    assert "isolated on" in port
    assert "hairpin on" in port
    assert "0a:00:00:00:00:01" in shown(near, "link", "show", "br0")


def test_a_route_may_have_several_gateways_and_be_replaced(near: Namespace, far: Namespace) -> None:
    paired(near, far)
    pool = ip_network("203.0.113.0/24")
    gateways = (ip_address("192.0.2.2"), ip_address("192.0.2.3"))
    near.apply([Route(pool, "eth0", gateways), Route(ip_network("::/0"), "eth0", (ip_address("2001:db8::2"),))])
    assert shown(near, "route", "show", "203.0.113.0/24").count("nexthop via") == 2
    assert "default via 2001:db8::2" in shown(near, "-6", "route", "show", "default")
    near.apply([Route(pool, "eth0", gateways[:1], replace=True)])
    assert "203.0.113.0/24 via 192.0.2.2" in shown(near, "route", "show", "203.0.113.0/24")
    near.apply([Unroute(pool)])
    assert not shown(near, "route", "show", "203.0.113.0/24")


def test_a_route_without_a_gateway_leaves_by_its_link(near: Namespace, far: Namespace) -> None:
    paired(near, far)
    near.apply([Route(ip_network("198.51.100.7/32"), "eth0"), Route(ip_network("2001:db8:1::7/128"), "eth0")])
    assert "198.51.100.7 dev eth0" in shown(near, "route")
    assert "2001:db8:1::7 dev eth0" in shown(near, "-6", "route")


def test_a_sysctl_changes_this_namespace_only(near: Namespace, far: Namespace) -> None:
    near.apply([Sysctl("net/ipv4/ip_forward", "1")])
    for namespace, expected in ((near, "1"), (far, "0")):
        with namespace.entered():
            assert Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == expected


def test_removing_one_end_of_a_pair_removes_the_other(near: Namespace, far: Namespace) -> None:
    paired(near, far)
    near.apply([RemoveLink("eth0")])
    assert "eth1" not in shown(far, "link")


def test_links_are_removed_together_whether_or_not_some_are_gone_already(near: Namespace, far: Namespace) -> None:
    names = [f"a{number}" for number in range(150)]
    near.apply([Veth(name, "far", f"b{name}") for name in (*names, "stays")], {"far": far})
    near.apply([RemoveLink("a7")])
    started = time.monotonic()
    near.apply([RemoveLinks(tuple(names))])
    assert time.monotonic() - started < 2  # one by one it takes ten seconds
    near.apply([RemoveLinks(())])
    left = [line.split()[1].partition("@")[0] for line in shown(near, "-o", "link").splitlines()]
    assert left == ["lo:", "stays"]


def test_a_refused_step_is_named_with_the_kernels_reason(near: Namespace) -> None:
    near.apply([Bridge("br0")])
    with pytest.raises(KernelError, match=r"Bridge\(name='br0'.*EEXIST"):
        near.apply([Bridge("br0")])
    with pytest.raises(KernelError, match=r"looking for the link nowhere.*ENODEV"):
        near.apply([Up("nowhere")])


def test_many_steps_fit_one_call(near: Namespace, far: Namespace) -> None:
    pairs = [Veth(f"a{number}", "far", f"b{number}") for number in range(150)]
    near.apply(pairs, {"far": far})
    assert shown(far, "-o", "link").count("\n") == 151
