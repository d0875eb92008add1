from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdns import names
from kdns.errors import NameInvalid

LABELS = st.text("abcxyz019-_", min_size=1, max_size=63).filter(names.is_label)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join).filter(lambda name: len(name) < 254)


@given(NAMES)
def test_text_survives_the_wire(name: str) -> None:
    wire = names.to_wire(name)
    assert names.to_text(wire) == name
    assert names.to_wire(name.upper() + ".") == wire
    assert names.parent(b"\1x" + wire) == wire


@pytest.mark.parametrize("text", ["a..b", ".a", "a" * 64, "a." * 130 + "a", "ü.example"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(NameInvalid, match="no domain name"):
        names.to_wire(text)


@pytest.mark.parametrize("text", ["", ".", "10.0.0.1", "a b", "-a", "a-.b", "a/b", "*"])
def test_what_is_no_host_name_is_refused(text: str) -> None:
    with pytest.raises(NameInvalid):
        names.check_hostname(text)


@given(st.ip_addresses())
def test_a_dashed_address_is_a_label_and_leads_back(address: object) -> None:
    given = ip_address(str(address))
    label = names.dashed(given.packed)
    assert names.undashed(label) == given
    assert not label.endswith("-")


@given(st.ip_addresses())
def test_the_reverse_name_of_an_address_is_the_one_that_ipaddress_gives(address: object) -> None:
    given = ip_address(str(address))
    assert names.reverse_wire(given.packed) == names.to_wire(given.reverse_pointer)


@pytest.mark.parametrize("label", ["", "1-2-3", "1-2-3-4-5", "256-1-1-1", "web", "fd00-1", "g--1"])
def test_other_labels_stand_for_no_address(label: str) -> None:
    assert names.undashed(label) is None


@pytest.mark.parametrize(
    ("network", "zones"),
    [
        ("10.96.0.0/16", ["96.10.in-addr.arpa"]),
        ("10.0.0.0/8", ["10.in-addr.arpa"]),
        ("10.96.0.0/15", ["96.10.in-addr.arpa", "97.10.in-addr.arpa"]),
        ("10.96.0.4/32", ["4.0.96.10.in-addr.arpa"]),
        ("0.0.0.0/0", ["in-addr.arpa"]),
        ("fd00::/8", ["d.f.ip6.arpa"]),
        ("fd00::/7", ["c.f.ip6.arpa", "d.f.ip6.arpa"]),
    ],
)
def test_a_network_has_the_reverse_zones_that_its_prefix_says(network: str, zones: list[str]) -> None:
    assert list(names.reverse_zones(ip_network(network, strict=False))) == zones


def test_odd_octets_are_escaped_for_people() -> None:
    assert names.to_text(b"\4a.b\xff\0") == "a\\046b\\255"
    assert names.to_text(b"\0") == "."
