from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kingress.target import BadTarget, host_of, normal_path, normal_target, rule_path, split_absolute

NORMAL = [
    (b"/", b"/"),
    (b"/a/b", b"/a/b"),
    (b"/%61/b", b"/a/b"),
    (b"/a%2fb", b"/a%2Fb"),
    (b"/a%2Fb", b"/a%2Fb"),
    (b"/a/./b", b"/a/b"),
    (b"/a/../b", b"/b"),
    (b"/a/%2e%2E/b", b"/b"),
    (b"/a/b/..", b"/a/"),
    (b"/a/.", b"/a/"),
    (b"/a//b", b"/a//b"),
    (b"/a//../b", b"/a/b"),
    (b"/.hidden/..b", b"/.hidden/..b"),
    (b"/a;v=1", b"/a;v=1"),
    (b"/a%20b", b"/a%20b"),
    (b"/a%5cb", b"/a%5Cb"),
    (b"/%c3%a9", b"/%C3%A9"),
]


@pytest.mark.parametrize(("path", "normal"), NORMAL)
def test_a_path_has_one_normal_form(path: bytes, normal: bytes) -> None:
    assert normal_path(path) == normal


REFUSED = [
    b"/..",
    b"/../etc/passwd",
    b"/a/../../b",
    b"/%2e%2e/a",
    b"/a%00",
    b"/a%0d%0ab",
    b"/a%7f",
    b"/%",
    b"/%4",
    b"/%zz",
    b"/%+1",
    b"/a\\b",
    b"/a#b",
    b"/a b",
    b"/a\tb",
    b"/caf\xc3\xa9",
    b"a",
    b"",
]


@pytest.mark.parametrize("target", REFUSED)
def test_an_ambiguous_target_is_refused(target: bytes) -> None:
    with pytest.raises(BadTarget):
        normal_target(target)


def test_the_query_is_forwarded_as_it_came() -> None:
    assert normal_target(b"/%61?x=%61/../b&y=?") == (b"/a?x=%61/../b&y=?", "/a")


def test_a_plain_target_is_not_copied() -> None:
    target = b"/cart/items?x=1"
    assert normal_target(target)[0] is target


@given(st.text(alphabet="/.a%25eE2f", max_size=30).map(lambda s: b"/" + s.encode()))
def test_normalising_twice_changes_nothing_more(path: bytes) -> None:
    try:
        once = normal_path(path)
    except BadTarget:
        return
    assert normal_path(once) == once
    assert not any(element in (b".", b"..") for element in once.split(b"/"))


HOSTS = [
    (b"shop.example", "shop.example"),
    (b"Shop.EXAMPLE:8080", "shop.example"),
    (b"shop.example.", "shop.example"),
    (b"10.0.0.1:80", "10.0.0.1"),
    (b"[::1]:8080", "[::1]"),
    (b"[::1]", "[::1]"),
    (b"a:", "a"),
]


@pytest.mark.parametrize(("authority", "host"), HOSTS)
def test_a_host_is_compared_in_small_letters_without_its_port(authority: bytes, host: str) -> None:
    assert host_of(authority) == host


@pytest.mark.parametrize(
    "authority",
    [b"", b"a,b", b"user@a", b"a/b", b"a b", b"a:x", b"a:99999", b"a:1:2", b"::1", b"-a", b"a..b", b"a" * 256, b"\xe9"],
)
def test_a_host_that_is_none_is_refused(authority: bytes) -> None:
    with pytest.raises(BadTarget):
        host_of(authority)


def test_an_absolute_target_has_an_authority_and_a_path() -> None:
    assert split_absolute(b"http://a:80/b?c") == (b"a:80", b"/b?c")
    assert split_absolute(b"HTTP://a") == (b"a", b"/")
    assert split_absolute(b"http://a?c") == (b"a", b"/?c")
    for other in (b"ftp://a/", b"a", b"://a"):
        with pytest.raises(BadTarget):
            split_absolute(other)


def test_a_rule_may_be_written_as_people_write() -> None:
    assert rule_path("/café au lait") == "/caf%C3%A9%20au%20lait"
    assert rule_path("/caf%c3%a9") == "/caf%C3%A9"
