"""A host whose certificate is missing or broken: over TLS it answers with what is wrong, and it harms no other."""

from __future__ import annotations

import asyncio
import ssl
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from kingress import match
from kingress.certificates import BadCertificate, Certificate, self_signed

RULES = [(host, "Prefix", "/", "web") for host in ("a.example", "b.example", "*.w.example")]
TLS = [{"secretName": "one", "hosts": ["a.example", "*.w.example"]}, {"secretName": "two", "hosts": ["b.example"]}]
ANYTHING = ssl._create_unverified_context()
PAGE = (
    "503 Service Unavailable\n\nIngress shop/tls spec.tls[0] names Secret shop/one, which gives no certificate: {}.\n"
)


@pytest.fixture(scope="module")
def stand_in() -> Certificate:
    """What is shown where a certificate is missing."""
    return self_signed()


@pytest.fixture
async def lacking(start: Any, upstream: Any, signed: Any, stand_in: Certificate) -> Any:
    """A live ingress where b.example has a certificate, and a.example and *.w.example should have one; its upstream."""
    live, web = await start(stand_in, trusted=(ip_network("127.0.0.0/8"),)), await upstream()
    live.service("web", web)
    live.ingress("tls", RULES, tls=TLS)
    certificate, key = signed("b.example")
    live.secret("two", tls_crt=certificate, tls_key=key)
    return live, web


async def ask(live: Any, host: str, *headers: str, name: str = "", trusting: bytes = b"") -> tuple[int, str]:
    """Make one request with TLS for a host; `name` is another in the handshake. Trusts one certificate, or anything."""
    context = ssl.create_default_context(cadata=trusting.decode()) if trusting else ANYTHING
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", live.tls_port, ssl=context, server_hostname=name or host
    )
    writer.write("\r\n".join(["GET / HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "", ""]).encode())
    answer = (await asyncio.wait_for(reader.read(), 5)).decode()
    writer.close()
    return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


async def test_what_is_wrong_is_answered_over_tls_and_nothing_is_forwarded(lacking: Any, signed: Any) -> None:
    live, web = lacking
    one, other = signed("a.example"), signed("b.example")
    assert await ask(live, "a.example") == (503, PAGE.format("it does not exist"))
    for parts, why in (
        ({"tls_crt": b"no", "tls_key": one[1]}, "tls.crt has no certificate in PEM"),
        ({"tls_crt": one[0], "tls_key": b"no"}, "tls.key has no private key in PEM"),
        ({"tls_crt": one[0], "tls_key": other[1]}, "it cannot be loaded: key values mismatch"),
        ({"tls_crt": one[0]}, "it has no tls.key"),
    ):
        live.secret("one", **parts)
        for host in ("a.example", "x.w.example"):
            status, page = await ask(live, host)
            assert status == 503
            assert page.startswith(PAGE.partition("{}")[0].format() + why)
    assert (await ask(live, "A.example.", name="a.example"))[0] == 503
    assert not web.requests


async def test_many_hosts_under_one_wildcard_are_answered_alike_and_leave_nothing_behind(lacking: Any) -> None:
    live, web = lacking
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", live.tls_port, ssl=ANYTHING, server_hostname="x.w.example"
    )
    known = match._uncertified.cache_info().currsize
    asked = [f"GET /{n} HTTP/1.1\r\nHost: x{n}.w.example\r\n\r\n" for n in range(1500)]
    writer.write("".join([*asked, "GET / HTTP/1.1\r\nHost: x.w.example\r\nConnection: close\r\n\r\n"]).encode())
    answers = (await asyncio.wait_for(reader.read(), 10)).decode()
    assert answers.count("HTTP/1.1 503 ") == answers.count(PAGE.format("it does not exist")) == 1501
    live.gateway.metrics.gather()
    assert [values[0] for values in live.gateway.metrics.requests.values()] == [1501]
    assert match._uncertified.cache_info().currsize <= known + 1
    assert not web.requests
    writer.close()


async def test_other_hosts_and_plain_http_are_served_meanwhile(lacking: Any, signed: Any) -> None:
    live, _ = lacking
    assert await ask(live, "b.example", trusting=signed("b.example")[0]) == (200, "ok")
    assert await live.get("/", "a.example") == (200, b"ok")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await ask(live, "nobody.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        await ask(live, "a.example", trusting=signed("a.example")[0])


async def test_the_same_bytes_over_http_and_tls_are_not_taken_for_each_other(lacking: Any, signed: Any) -> None:
    live, _ = lacking
    certificate, key = signed("a.example")
    for _ in range(2):
        assert (await live.get("/", "a.example"))[0] == 200
        assert (await ask(live, "a.example"))[0] == 503
        live.secret("one", tls_crt=certificate, tls_key=key)
        assert (await live.get("/", "a.example"))[0] == 200
        assert (await ask(live, "a.example", trusting=certificate))[0] == 200
        live.controller.tls.secrets.remove("shop/one")


async def test_the_host_of_the_request_decides_also_where_the_handshake_was_for_another(lacking: Any) -> None:
    live, _ = lacking
    assert (await ask(live, "a.example", name="b.example"))[0] == 503
    assert (await ask(live, "b.example", name="a.example"))[0] == 200


async def test_a_balancer_that_speaks_tls_in_front_has_a_certificate_of_its_own(lacking: Any) -> None:
    live, _ = lacking
    assert (await live.get("/", "a.example", "X-Forwarded-Proto: https"))[0] == 200
    assert (await ask(live, "a.example", "X-Forwarded-Proto: http"))[0] == 503


async def test_with_the_certificate_of_the_operator_the_host_is_served(lacking: Any, signed: Any) -> None:
    live, _ = lacking
    live.controller.tls.default = "shop/default"
    live.controller.tls.start()
    assert (await ask(live, "a.example"))[0] == 503, "it is not there either"
    certificate, key = signed("a.example", again="default")
    live.secret("default", tls_crt=certificate, tls_key=key)
    assert await ask(live, "a.example", trusting=certificate) == (200, "ok")
    live.controller.tls.secrets.remove("shop/default")
    assert (await ask(live, "a.example"))[0] == 503


async def test_what_the_ingress_asks_for_is_done_but_for_those_who_are_not_admitted(lacking: Any) -> None:
    live, _ = lacking
    live.ingress("tls", RULES, {"redirect-https": "true", "allow": "127.0.0.0/8"}, tls=TLS)
    assert (await live.get("/", "a.example"))[0] == 308
    assert (await ask(live, "a.example"))[0] == 503
    live.ingress("tls", RULES, {"allow": "192.0.2.0/24"}, tls=TLS)
    assert (await ask(live, "a.example"))[0] == 403
    assert (await ask(live, "b.example"))[0] == 403


def test_without_the_openssl_command_there_is_none_and_it_is_said_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadCertificate, match="openssl, which makes certificates, cannot be run: "):
        self_signed()
    failing = tmp_path / "openssl"
    failing.write_text("#!/bin/sh\necho no entropy >&2\nexit 1\n")
    failing.chmod(0o755)
    with pytest.raises(BadCertificate, match="openssl makes none: no entropy"):
        self_signed()
