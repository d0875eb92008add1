from __future__ import annotations

from dataclasses import fields
from ipaddress import ip_network
from typing import Any

import pytest

from kingress.features import FEATURES, FOREIGN_GUARDS, NGINX, OURS, read
from kingress.policy import PLAIN, Edit, Policy

READ: list[tuple[str, str, str, Any]] = [
    ("allow", "10.0.0.0/8, 2001:db8::1", "allow", (ip_network("10.0.0.0/8"), ip_network("2001:db8::1"))),
    ("deny", "10.1.2.3", "deny", (ip_network("10.1.2.3/32"),)),
    ("redirect-https", "true", "redirect_https", True),
    ("permanent-redirect", "https://new.example$request_uri", "permanent_redirect", "https://new.example$request_uri"),
    ("permanent-redirect-code", "308", "permanent_redirect_code", 308),
    ("temporary-redirect", "/elsewhere", "temporary_redirect", "/elsewhere"),
    ("replace-prefix", "/", "replace_prefix", "/"),
    ("body-limit", "8m", "body_limit", 8 << 20),
    ("body-limit", "0", "body_limit", 0),
    ("read-timeout", "1.5s", "read_timeout", 1.5),
    ("balance", "least-requests", "balance", "least-requests"),
    ("hash-by", "header:X-User", "hash_by", "header:X-User"),
    ("backend-protocol", "HTTPS", "backend_https", True),
    ("sticky", "true", "sticky", True),
    ("sticky-same-site", "None", "sticky_same_site", b"None"),
    ("canary-weight", "20", "canary_weight", 20),
    (
        "request-headers",
        "X-A: 1\n-X-B\nX-C:",
        "request_headers",
        Edit(((b"X-A", b"1"), (b"X-C", b"")), frozenset((b"x-a", b"x-b", b"x-c"))),
    ),
]


@pytest.mark.parametrize(("name", "text", "field", "value"), READ)
def test_an_annotation_is_read(name: str, text: str, field: str, value: Any) -> None:
    policy, problems = read({OURS + name: text})
    assert not problems
    assert getattr(policy, field) == value


NGINX_READ: list[tuple[str, str, str, Any]] = [
    ("whitelist-source-range", "10.0.0.0/8", "allow", (ip_network("10.0.0.0/8"),)),
    ("denylist-source-range", "10.0.0.0/8", "deny", (ip_network("10.0.0.0/8"),)),
    ("force-ssl-redirect", "true", "redirect_https", True),
    ("temporal-redirect", "https://x.example/", "temporary_redirect", "https://x.example/"),
    ("rewrite-target", "/only", "replace_path", "/only"),
    ("rewrite-target", "/$2", "replace_prefix", "/"),
    ("rewrite-target", "/v2/$1", "replace_prefix", "/v2/"),
    ("proxy-body-size", "100m", "body_limit", 100 << 20),
    ("proxy-read-timeout", "120", "read_timeout", 120.0),
    ("load-balance", "round_robin", "balance", "round-robin"),
    ("upstream-hash-by", "$remote_addr", "hash_by", "client"),
    ("upstream-hash-by", "$http_x_user", "hash_by", "header:x-user"),
    ("upstream-hash-by", "$cookie_my_id", "hash_by", "cookie:my_id"),
    ("affinity", "cookie", "sticky", True),
    ("session-cookie-name", "route", "sticky_name", b"route"),
    ("canary-by-header", "X-Canary", "canary_header", b"X-Canary"),
]


@pytest.mark.parametrize(("name", "text", "field", "value"), NGINX_READ)
def test_the_annotation_of_ingress_nginx_means_the_same(name: str, text: str, field: str, value: Any) -> None:
    policy, problems = read({NGINX + name: text})
    assert not problems
    assert getattr(policy, field) == value


WRONG = [
    ("allow", "10.0.0.0/99"),
    ("deny", "everyone"),
    ("redirect-https", "yes"),
    ("permanent-redirect", "javascript:alert(1)"),
    ("permanent-redirect", "https://a.example/\r\nX: y"),
    ("permanent-redirect-code", "200"),
    ("replace-path", "/$1/$2"),
    ("replace-path", "no-slash"),
    ("upstream-host", "a.example\r\nX: y"),
    ("upstream-host", "a..example"),
    ("upstream-host", ".example"),
    ("backend-server-name", "a" * 64 + ".example"),
    ("request-headers", "Content-Length: 5"),
    ("request-headers", "Host: other"),
    ("response-headers", "X Y: 1"),
    ("response-headers", "X-Y 1"),
    ("response-headers", "X-Y: \x00"),
    ("body-limit", "lots"),
    ("read-timeout", "0"),
    ("balance", "ewma"),
    ("hash-by", "$uri$args"),
    ("backend-protocol", "GRPC"),
    ("sticky-name", "a=b;"),
    ("canary-weight", "-1"),
    ("canary-cookie", ""),
]


@pytest.mark.parametrize(("name", "text"), WRONG)
def test_an_annotation_that_cannot_be_read_is_a_problem_that_says_what_it_takes(name: str, text: str) -> None:
    policy, (problem,) = read({OURS + name: text})
    assert problem.field == f"metadata.annotations[{OURS}{name}]"
    assert "it takes " in problem.message
    feature = next(each for each in FEATURES if each.name == name)
    assert bool(policy.broken) is feature.guards
    assert getattr(policy, feature.field) == getattr(PLAIN, feature.field)


def test_what_guards_and_cannot_be_read_closes_rather_than_opens() -> None:
    guards = {feature.name for feature in FEATURES if feature.guards}
    assert guards == {"allow", "deny", "redirect-https", "redirect-https-with-tls", "body-limit"}


def test_ours_wins_over_that_of_ingress_nginx() -> None:
    policy, _ = read({NGINX + "proxy-read-timeout": "10", OURS + "read-timeout": "20"})
    assert policy.read_timeout == 20


def test_ssl_redirect_counts_only_where_there_is_tls() -> None:
    asked = {NGINX + "ssl-redirect": "true"}
    assert read(asked)[0].redirect_https is False
    assert read(asked, has_tls=True)[0].redirect_https is True


def test_an_annotation_that_is_not_known_is_told() -> None:
    policy, problems = read({OURS + "alow": "10.0.0.0/8", NGINX + "enable-cors": "true"})
    assert policy == PLAIN
    assert [problem.field for problem in problems] == [
        f"metadata.annotations[{OURS}alow]",
        f"metadata.annotations[{NGINX}enable-cors]",
    ]


@pytest.mark.parametrize("key", sorted(FOREIGN_GUARDS))
def test_a_guard_of_ingress_nginx_that_is_not_known_closes_its_routes(key: str) -> None:
    policy, (problem,) = read({key: "true"})
    assert str(problem) in policy.broken
    assert not read({key: "off"})[0].broken


def test_no_annotation_asks_for_nothing() -> None:
    assert read({"kubernetes.io/ingress.class": "x", "example.com/y": "z"}) == (PLAIN, [])


def test_every_field_of_a_policy_has_its_feature() -> None:
    named = {field.name for field in fields(Policy)} - {"broken", "uncertified"}
    assert {feature.field for feature in FEATURES} == named
