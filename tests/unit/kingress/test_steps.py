from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from kapi.network import Reference
from kingress.match import Route
from kingress.message import Request, Response
from kingress.objects import BackendRef, PathType
from kingress.policy import Edit, Policy
from kingress.steps import Asked, change, finish, hash_key, is_canary, judge, sticky_cookie


def request(target: bytes = b"/", *headers: tuple[bytes, bytes], length: int = 0) -> Request:
    path = target.partition(b"?")[0].decode()
    made = Request("GET", target, path, b"a.example:80", "a.example", list(headers))
    made.length = length
    return made


def asked(target: bytes = b"/", client: str = "192.0.2.1", scheme: bytes = b"http", length: int = 0) -> Asked:
    return Asked(request(target, length=length), client, scheme)


def route(path: str) -> Route:
    return Route(BackendRef("n", "s", 80), "", path, PathType.PREFIX, Reference("Ingress", "n", "i"), "f")


TEST_NET = (ip_network("192.0.2.0/24"),)
OTHER = (ip_network("203.0.113.0/24"), ip_network("2001:db8::/32"))
NEW = Policy(permanent_redirect="https://new.example$request_uri")

JUDGED: list[tuple[Policy, Asked, int, str]] = [
    (Policy(), asked(), 0, ""),
    (Policy(allow=TEST_NET), asked(), 0, ""),
    (Policy(allow=OTHER), asked(), 403, ""),
    (Policy(allow=OTHER), asked(client="2001:db8::7"), 0, ""),
    (Policy(allow=TEST_NET, deny=TEST_NET), asked(), 403, ""),
    (Policy(deny=OTHER), asked(), 0, ""),
    (Policy(deny=OTHER), asked(client="unknown"), 403, ""),
    (Policy(redirect_https=True), asked(b"/x?y=1"), 308, "https://a.example/x?y=1"),
    (Policy(redirect_https=True), asked(scheme=b"https"), 0, ""),
    (Policy(redirect_https=True), asked(b"/.well-known/acme-challenge/t"), 0, ""),
    (NEW, asked(b"/x?y=1"), 301, "https://new.example/x?y=1"),
    (Policy(permanent_redirect="/p", permanent_redirect_code=308), asked(), 308, "/p"),
    (Policy(temporary_redirect="/t", permanent_redirect="/p"), asked(), 302, "/t"),
    (Policy(app_root="/app"), asked(), 302, "/app"),
    (Policy(app_root="/app"), asked(b"/other"), 0, ""),
    (Policy(body_limit=10), asked(length=11), 413, ""),
    (Policy(body_limit=10), asked(length=10), 0, ""),
    (Policy(broken="x", permanent_redirect="/p"), asked(), 503, ""),
    (Policy(allow=OTHER, permanent_redirect="/p"), asked(), 403, ""),
]


@pytest.mark.parametrize(("policy", "what", "status", "location"), JUDGED)
def test_a_policy_answers_or_lets_pass(policy: Policy, what: Asked, status: int, location: str) -> None:
    reply = judge(policy, what)
    assert (reply.status if reply else 0) == status
    assert (dict(reply.headers).get(b"Location", b"").decode() if reply else "") == location


@pytest.mark.parametrize(
    ("policy", "rule", "target", "forwarded"),
    [
        (Policy(replace_prefix="/"), "/shop", b"/shop/cart?a=/shop", b"/cart?a=/shop"),
        (Policy(replace_prefix="/"), "/shop/", b"/shop/cart", b"/cart"),
        (Policy(replace_prefix="/"), "/shop", b"/shop", b"/"),
        (Policy(replace_prefix="/"), "/", b"/x", b"/x"),
        (Policy(replace_prefix="/v2"), "/shop", b"/shop/cart", b"/v2/cart"),
        (Policy(replace_prefix="/v2/"), "/shop", b"/shop/cart", b"/v2/cart"),
        (Policy(replace_prefix="/v2"), "/shop", b"/shop", b"/v2"),
        (Policy(replace_prefix="/v2"), "/", b"/x", b"/v2/x"),
        (Policy(replace_path="/one"), "/shop", b"/shop/cart?a=1", b"/one?a=1"),
        (Policy(), "/shop", b"/shop/cart", b"/shop/cart"),
    ],
)
def test_a_path_is_replaced(policy: Policy, rule: str, target: bytes, forwarded: bytes) -> None:
    changed = request(target)
    change(policy, route(rule), changed)
    assert changed.target == forwarded


def test_headers_are_set_and_removed_in_both_directions_and_shared_lists_stay_as_they_are() -> None:
    edit = Edit(((b"X-New", b"1"),), frozenset((b"x-new", b"server")))
    before = [(b"Server", b"x"), (b"x-NEW", b"0"), (b"Kept", b"y")]
    changed = request(b"/", *before)
    shared = changed.headers
    change(Policy(request_headers=edit, upstream_host=b"in.example"), route("/"), changed)
    assert (changed.headers, changed.authority) == ([(b"Kept", b"y"), (b"X-New", b"1")], b"in.example")
    assert shared == before
    response = Response(200, b"OK", before, 0)
    answered = finish(Policy(response_headers=edit), response, b"c=1")
    assert answered.headers == [(b"Kept", b"y"), (b"X-New", b"1"), (b"Set-Cookie", b"c=1")]
    assert response.headers == before
    assert finish(Policy(), response, b"") is response


def test_a_sticky_cookie_says_what_was_asked_of_it() -> None:
    assert sticky_cookie(Policy(), b"t") == b"kingress=t; Path=/; HttpOnly"
    policy = Policy(sticky_name=b"r", sticky_max_age=60, sticky_secure=True, sticky_same_site=b"Lax", sticky_path=b"/x")
    assert sticky_cookie(policy, b"t") == b"r=t; Path=/x; HttpOnly; Max-Age=60; Secure; SameSite=Lax"


def test_what_an_endpoint_is_chosen_by() -> None:
    there = Asked(request(b"/p?q", (b"X-User", b"ann"), (b"Cookie", b"a=1; id=7")), "192.0.2.1", b"http")
    for by, key in (
        ("client", b"192.0.2.1"),
        ("uri", b"/p?q"),
        ("header:x-user", b"ann"),
        ("header:x-none", b""),
        ("cookie:id", b"7"),
    ):
        assert hash_key(Policy(hash_by=by), there) == key


def canary(header: str = "", cookie: str = "", **policy: Any) -> bool:
    said = [(b"X-Canary", header.encode())] if header else []
    said += [(b"Cookie", f"other=1; canary={cookie}".encode())] if cookie else []
    return is_canary(Policy(canary=True, **policy), request(b"/", *said), 0.5)


def test_who_is_sent_to_a_canary() -> None:
    assert not canary()
    assert canary(canary_weight=51)
    assert not canary(canary_weight=50)
    assert canary(canary_weight=6, canary_weight_total=10)
    by_header: dict[str, Any] = {"canary_header": b"X-Canary", "canary_weight": 100}
    assert canary("always", canary_header=b"X-Canary")
    assert not canary("never", **by_header)
    assert canary("other", **by_header)  # neither: the weight decides
    by_value: dict[str, Any] = {"canary_header": b"x-canary", "canary_header_value": b"blue"}
    assert canary("blue", **by_value)
    assert not canary("always", **by_value)
    assert canary("", "always", canary_cookie=b"canary")
    assert not canary("", "never", canary_cookie=b"canary", canary_weight=100)
    assert not canary("never", "always", canary_header=b"X-Canary", canary_cookie=b"canary")
