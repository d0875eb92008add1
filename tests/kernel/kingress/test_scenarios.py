"""The scenarios of the Ingress conformance suite, retold: default backend, hosts, load balancing, paths."""

from __future__ import annotations

from typing import Any

import pytest

HOSTS = [
    ("exact-path-rules", "Exact", ["/foo"]),
    ("exact-slash", "Exact", ["/foo/"]),
    ("prefix-path-rules", "Prefix", ["/foo"]),
    ("prefix-slash", "Prefix", ["/foo/"]),
    ("prefixes", "Prefix", ["/", "/aaa", "/aaa/bbb"]),
    ("trailing", "Prefix", ["/aaa/bbb"]),
]

PATHS = [
    ("exact-path-rules", "/foo", "/foo"),
    ("exact-path-rules", "/foo/", None),
    ("exact-path-rules", "/FOO", None),
    ("exact-path-rules", "/bar", None),
    ("prefix-path-rules", "/foo", "/foo"),
    ("prefix-path-rules", "/foo/", "/foo"),
    ("prefix-path-rules", "/FOO", None),
    ("prefixes", "/aaa/bbb", "/aaa/bbb"),
    ("prefixes", "/aaa/bbb/ccc", "/aaa/bbb"),
    ("prefixes", "/aaa/ccc", "/aaa"),
    ("prefixes", "/aaaccc", "/"),
    ("trailing", "/aaa/bbbccc", None),
    ("trailing", "/aaa/bbb/", "/aaa/bbb"),
    ("prefix-slash", "/foo", "/foo/"),
    ("prefix-slash", "/foo/", "/foo/"),
    ("exact-slash", "/foo", None),
    ("mixed", "/foo", "exact"),
    ("mixed", "/foo/", "prefix"),
]


@pytest.fixture
async def scenarios(start: Any, upstream: Any) -> Any:
    live = await start()

    async def served(name: str) -> str:
        """A Service that answers with its rule's path; gives its name."""
        service = "s" + name.replace("/", "-")
        live.service(service, await upstream(name.encode()))
        return service

    for host, kind, paths in HOSTS:
        rules = [(host, kind, path, await served(f"{path}")) for path in paths]
        live.ingress(host, rules)
    live.ingress(
        "mixed",
        [("mixed", "Prefix", "/foo", await served("prefix")), ("mixed", "Exact", "/foo", await served("exact"))],
    )
    live.ingress(
        "hosts",
        [("foo.bar.com", "Prefix", "/", await served("foo")), ("*.foo.com", "Prefix", "/", await served("wildcard"))],
    )
    return live


@pytest.mark.parametrize(("host", "path", "expected"), PATHS)
async def test_paths(scenarios: Any, host: str, path: str, expected: str | None) -> None:
    status, body = await scenarios.get(path, host)
    assert (status, body.decode() if status == 200 else None) == ((200, expected) if expected else (404, None))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("foo.bar.com", "foo"),
        ("foo.bar.com:8080", "foo"),
        ("FOO.bar.com", "foo"),
        ("bar.foo.com", "wildcard"),
        ("baz.bar.foo.com", None),
        ("foo.com", None),
        ("subdomain.bar.com", None),
    ],
)
async def test_hosts(scenarios: Any, host: str, expected: str | None) -> None:
    status, body = await scenarios.get("/", host)
    assert (status, body.decode() if status == 200 else None) == ((200, expected) if expected else (404, None))


@pytest.mark.parametrize(
    ("method", "host", "path"),
    [
        ("GET", "my-host", "/"),
        ("GET", "", "/"),
        ("POST", "my-host", "/sub-path"),
        ("PUT", "my-host", "/resource"),
        ("DELETE", "some-host", "/resource"),
        ("PATCH", "my-host", "/resource"),
    ],
)
async def test_the_default_backend(start: Any, upstream: Any, method: str, host: str, path: str) -> None:
    live = await start()
    web = await upstream(b"default")
    live.service("web", web)
    live.ingress("all", [], defaultBackend={"service": {"name": "web", "port": {"name": "http"}}})
    status, body = await live.get(path, host or f"127.0.0.1:{live.port}", "Content-Length: 0", method=method)
    assert (status, body) == (200, b"default")
    assert web.requests[0].line == f"{method} {path} HTTP/1.1"
    assert web.requests[0].headers["host"] == (host or f"127.0.0.1:{live.port}")
