"""TLS: each host has its certificate, a new Secret is served at once, and what is broken hurts its own host only."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from kingress.certificates import BadCertificate, load

GET = "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n"
RULES = [
    ("a.example", "Prefix", "/", "web"),
    ("b.example", "Prefix", "/", "web"),
    ("*.w.example", "Prefix", "/", "web"),
]


def trusting(*certificates: bytes) -> ssl.SSLContext:
    """A client's context that trusts these alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for certificate in certificates:
        context.load_verify_locations(cadata=certificate.decode())
    return context


async def ask(live: Any, context: ssl.SSLContext, name: str, host: str = "") -> tuple[int, bytes]:
    """Make one request with TLS for a name, and Host, if another."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.tls_port, ssl=context, server_hostname=name)
    writer.write(GET.format(host or name).encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


def secure(live: Any, name: str, *entries: tuple[str, list[str]], created: str = "") -> None:
    tls = [{"secretName": secret, "hosts": hosts} for secret, hosts in entries]
    live.ingress(name, RULES, tls=tls)


@pytest.fixture
async def two(shop: Any, signed: Any) -> Any:
    """A live ingress with a certificate for a.example, and another for b.example and *.w.example."""
    live, web = shop
    secure(live, "tls", ("one", ["a.example"]), ("two", ["b.example", "*.w.example"]))
    one, two = signed("a.example"), signed("b.example", "*.w.example")
    live.secret("one", tls_crt=one[0], tls_key=one[1])
    live.secret("two", tls_crt=two[0], tls_key=two[1])
    return live, web, one, two


async def test_each_host_has_its_certificate_and_the_upstream_is_told_of_tls(two: Any) -> None:
    live, web, one, other = two
    assert await ask(live, trusting(one[0]), "a.example") == (200, b"ok")
    assert web.requests[-1].headers["x-forwarded-proto"] == "https"
    assert web.requests[-1].headers["x-forwarded-port"] == "443"
    assert await ask(live, trusting(other[0]), "b.example") == (200, b"ok")
    assert await ask(live, trusting(other[0]), "x.w.example") == (200, b"ok")
    with pytest.raises(ssl.SSLCertVerificationError):
        await ask(live, trusting(one[0]), "b.example")


async def test_the_certificate_follows_the_handshake_and_the_rule_follows_the_host(two: Any) -> None:
    live, _, one, _ = two
    assert (await ask(live, trusting(one[0]), "a.example", "b.example"))[0] == 200
    assert (await ask(live, trusting(one[0]), "a.example", "nobody.example"))[0] == 404


async def test_a_host_on_plain_http_is_answered_and_not_redirected_unless_asked(two: Any) -> None:
    live, *_ = two
    assert (await live.get("/", "a.example"))[0] == 200


async def test_a_name_without_a_certificate_is_refused_in_the_handshake(two: Any) -> None:
    live, *_ = two
    anything = ssl._create_unverified_context()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await ask(live, anything, "nobody.example")


async def test_the_default_certificate_is_for_names_that_have_none(two: Any) -> None:
    live, _, one, _ = two
    live.controller.tls.default = "shop/one"
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'nobody\.example'"):
        await ask(live, trusting(one[0]), "nobody.example")


async def test_a_new_certificate_is_served_at_once_and_open_connections_go_on(two: Any, signed: Any) -> None:
    live, _, one, _ = two
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", live.tls_port, ssl=trusting(one[0]), server_hostname="a.example"
    )
    new = signed("a.example", again="rotated")
    live.secret("one", tls_crt=new[0], tls_key=new[1])
    assert await ask(live, trusting(new[0]), "a.example") == (200, b"ok")
    with pytest.raises(ssl.SSLCertVerificationError):
        await ask(live, trusting(one[0]), "a.example")
    writer.write(GET.format("a.example").encode())
    assert b" 200 " in await reader.readline()
    writer.close()


async def test_a_broken_or_missing_secret_hurts_its_own_host_only_and_is_told(two: Any, signed: Any) -> None:
    live, _, one, other = two
    ingress = live.controller.routes.ingresses["shop/tls"]
    for broken in ({"tls_crt": b"no"}, {"tls_crt": one[0], "tls_key": other[1]}, {"tls_crt": one[0]}):
        live.secret("one", **broken)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(live, trusting(one[0]), "a.example")
        assert await ask(live, trusting(other[0]), "b.example") == (200, b"ok")
        (problem,) = live.controller.tls.problems(ingress)
        assert "Secret shop/one gives no certificate: " in problem
    live.controller.tls.secrets.remove("shop/one")
    assert live.controller.tls.problems(ingress) == ["Secret shop/one gives no certificate: it does not exist."]
    live.secret("one", tls_crt=one[0], tls_key=one[1])
    assert await ask(live, trusting(one[0]), "a.example") == (200, b"ok")
    assert live.controller.tls.problems(ingress) == []


async def test_a_certificate_for_other_names_is_served_and_told(shop: Any, signed: Any) -> None:
    live, _ = shop
    secure(live, "tls", ("one", ["b.example"]))
    live.secret("one", tls_crt=signed("a.example")[0], tls_key=signed("a.example")[1])
    (problem,) = live.controller.tls.problems(live.controller.routes.ingresses["shop/tls"])
    assert problem == "Secret shop/one has a certificate that is not for b.example."


async def test_only_the_secrets_that_are_named_are_read(two: Any) -> None:
    live, *_ = two
    secrets = live.controller.tls.secrets
    assert secrets.wanted == {"shop/one", "shop/two"}
    secure(live, "tls", ("two", ["b.example"]))
    assert secrets.wanted == {"shop/two"}
    live.secret("other", tls_crt=b"x")
    assert secrets.get("shop/other") is None


def test_what_cannot_be_a_certificate_is_refused_with_the_reason(signed: Any) -> None:
    one, other = signed("a.example"), signed("b.example", "*.w.example")
    for certificate, key, words in (
        (b"", b"", "tls.crt has no certificate in PEM"),
        (one[0], other[1], "key values mismatch"),
        (
            one[0],
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "cannot be loaded",
        ),
    ):
        with pytest.raises(BadCertificate, match=words):
            load(certificate, key)
    loaded = load(*other)
    assert loaded.names == ("b.example", "*.w.example")
    assert loaded.expires > 1_700_000_000


async def upstream_with_tls(certificate: tuple[bytes, bytes], name: bytes = b"safe") -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(name), name))
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=load(*certificate).context)


async def test_endpoints_are_spoken_to_with_tls_and_verified_where_asked(shop: Any, signed: Any) -> None:
    live, _ = shop
    certificate = signed("web.shop.svc")
    server = await upstream_with_tls(certificate)
    live.service("safe", server.sockets[0].getsockname()[1])
    rules = [("s.example", "Prefix", "/", "safe")]
    live.ingress("safe", rules, {"backend-protocol": "HTTPS"})
    assert await live.get("/", "s.example") == (200, b"safe")
    verified = {"backend-protocol": "HTTPS", "backend-ca": "ca", "backend-server-name": "web.shop.svc"}
    live.ingress("safe", rules, verified)
    status, page = await live.get("/", "s.example")
    assert status == 503
    assert b"Secret shop/ca does not exist, or has no ca.crt." in page
    live.secret("ca", ca_crt=certificate[0])
    assert await live.get("/", "s.example") == (200, b"safe")
    live.secret("ca", ca_crt=signed("a.example")[0])
    status, page = await live.get("/", "s.example")
    assert status == 502
    assert b"its certificate is not accepted" in page
    live.secret("ca", ca_crt=certificate[0])
    live.ingress("safe", rules, {**verified, "backend-server-name": "other.svc"})
    assert (await live.get("/", "s.example"))[0] == 502
    server.close()
