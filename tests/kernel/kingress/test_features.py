"""What Ingresses ask for by annotations, seen from both ends."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kapi.resources import INGRESSES


async def test_redirects_are_answered_without_an_upstream(shop: Any) -> None:
    live, web = shop
    for asked, status, location in (
        ({"redirect-https": "true"}, 308, "https://shop.example/x?y=1"),
        ({"permanent-redirect": "https://new.example$request_uri"}, 301, "https://new.example/x?y=1"),
        ({"temporary-redirect": "/later", "temporary-redirect-code": "307"}, 307, "/later"),
    ):
        live.ingress("web", [("shop.example", "Prefix", "/", "web")], asked)
        answered, headers, _ = await live.ask("/x?y=1")
        assert (answered, headers["location"]) == (status, location)
    assert not web.requests


async def test_what_is_forwarded_and_what_is_answered_is_altered(shop: Any) -> None:
    live, web = shop
    asked = {
        "replace-prefix": "/v2",
        "upstream-host": "inside.example",
        "request-headers": "X-Team: shop\n-X-Debug",
        "response-headers": "X-Frame-Options: DENY\n-Content-Type",
    }
    live.ingress("web", [("shop.example", "Prefix", "/api", "web")], asked)
    live.remove(INGRESSES, "other")
    for _ in range(2):  # the second time, its head is remembered
        status, headers, _ = await live.ask("/api/cart?a=1", "shop.example", "X-Debug: 1", "X-Team: mine")
        assert status == 200
        assert headers["x-frame-options"] == "DENY"
        seen = web.requests[-1]
        assert seen.line == "GET /v2/cart?a=1 HTTP/1.1"
        assert (seen.headers["host"], seen.headers["x-team"]) == ("inside.example", "shop")
        assert "x-debug" not in seen.headers
        assert seen.headers["x-forwarded-host"] == "shop.example"


async def test_clients_are_admitted_by_their_address_even_behind_a_trusted_proxy(start: Any, upstream: Any) -> None:
    from ipaddress import ip_network

    live, web = await start(trusted=(ip_network("127.0.0.0/8"),)), await upstream()
    live.service("web", web)
    for asked, client, status in (
        ({"allow": "127.0.0.0/8"}, "", 200),
        ({"allow": "10.0.0.0/8"}, "", 403),
        ({"allow": "10.0.0.0/8"}, "10.1.2.3", 200),
        ({"deny": "10.0.0.0/8"}, "10.1.2.3", 403),
        ({"allow": "10.0.0.0/33"}, "10.1.2.3", 503),
    ):
        live.ingress("web", [("shop.example", "Prefix", "/", "web")], asked)
        said = [f"X-Forwarded-For: {client}"] if client else []
        assert (await live.get("/", "shop.example", *said))[0] == status


async def test_bodies_beyond_the_limit_are_refused_whether_their_length_is_told_or_not(shop: Any) -> None:
    live, web = shop
    live.ingress("web", [("shop.example", "Prefix", "/", "web")], {"body-limit": "1k"})
    post = b"POST / HTTP/1.1\r\nHost: shop.example\r\n"
    for body, status in (
        (b"Content-Length: 1024\r\n\r\n" + b"x" * 1024, b"200"),
        (b"Content-Length: 1025\r\n\r\n" + b"x" * 1025, b"413"),
        (b"Content-Length: 1025\r\n\r\n", b"413"),
        (b"Transfer-Encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024 + b"\r\n1\r\nx\r\n0\r\n\r\n", b"413"),
        (b"Transfer-Encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n", b"200"),
    ):
        reader, writer = await live.connect()
        writer.write(post + body)
        assert (await reader.readline()).split()[1] == status, body[:40]
        writer.close()
    assert [len(seen.body) for seen in web.requests] == [1024, 1024]


async def test_a_canary_takes_its_part_and_goes_without_a_trace(shop: Any, upstream: Any) -> None:
    live, _ = shop
    live.service("next", await upstream(b"next"))
    rules = [("shop.example", "Prefix", "/", "next")]
    live.ingress("canary", rules, {"canary": "true", "canary-weight": "30", "canary-header": "X-Canary"})
    bodies = Counter([(await live.get())[1] for _ in range(200)])
    assert 25 < bodies[b"next"] < 100
    assert (await live.get("/", "shop.example", "X-Canary: always"))[1] == b"next"
    assert (await live.get("/", "shop.example", "X-Canary: never"))[1] == b"ok"
    live.remove(INGRESSES, "canary")
    assert {(await live.get())[1] for _ in range(20)} == {b"ok"}


async def test_a_sticky_cookie_survives_scaling_and_is_given_anew_only_when_its_endpoint_goes(
    shop: Any, upstream: Any
) -> None:
    live, _ = shop
    pods = [await upstream(b"%d" % i) for i in range(3)]
    live.service("web", *pods)
    live.ingress("web", [("shop.example", "Prefix", "/", "web")], {"sticky": "true", "sticky-name": "stay"})
    _, headers, body = await live.ask()
    cookie = headers["set-cookie"].partition(";")[0]
    assert cookie.startswith("stay=")
    mine = pods[int(body)]
    for pods_now in (pods, [*pods, await upstream(b"new")], [mine]):
        live.service("web", *pods_now)
        for _ in range(5):
            _, headers, again = await live.ask("/", "shop.example", f"Cookie: a=b; {cookie}")
            assert (again, "set-cookie" in headers) == (body, False)
    live.service("web", *[pod for pod in pods if pod is not mine])
    _, headers, other = await live.ask("/", "shop.example", f"Cookie: {cookie}")
    assert other != body
    assert headers["set-cookie"].partition(";")[0] != cookie


async def test_equal_keys_reach_the_same_endpoint(shop: Any, upstream: Any) -> None:
    live, _ = shop
    live.service("web", *[await upstream(b"%d" % i) for i in range(4)])
    live.ingress("web", [("shop.example", "Prefix", "/", "web")], {"hash-by": "header:X-User"})
    users = {
        user: {(await live.get("/", "shop.example", f"X-User: {user}"))[1] for _ in range(4)}
        for user in map(str, range(20))
    }
    assert all(len(bodies) == 1 for bodies in users.values())
    assert len(set().union(*users.values())) > 1


async def test_an_endpoint_that_never_answers_is_left_alone(start: Any, upstream: Any) -> None:
    live, web = await start(eject_after=3, eject_for=60.0), await upstream()
    dead = await upstream()
    port = dead.port
    await dead.stop()
    live.service("web", web, port)
    live.ingress("web", [("shop.example", "Prefix", "/", "web")])
    for _ in range(30):
        assert (await live.get())[0] == 200
    assert sum(live.gateway.metrics.failures.values()) == 3


async def test_a_route_has_its_own_time_to_answer(shop: Any) -> None:
    import asyncio

    live, web = shop

    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    web.answer = never
    live.ingress("web", [("shop.example", "Prefix", "/", "web")], {"read-timeout": "0.2"})
    status, page = await live.get()
    assert status == 504
    assert b"nothing came for 0.2 s" in page


async def test_an_endpoint_that_says_it_is_not_well_is_left_alone_until_it_is(start: Any, upstream: Any) -> None:
    live, well = await start(check_interval=0.05), await upstream(b"well")
    state = b"503 Service Unavailable"

    async def answer(seen: Any, _: Any) -> bytes:
        return reply(b"ill", status=state if seen.line.startswith("GET /health ") else b"200 OK")

    ill = await upstream(answer=answer)
    live.service("web", well, ill)
    live.ingress("web", [("shop.example", "Prefix", "/", "web")], {"health-path": "/health"})
    (await live.get())
    peers = live.gateway.upstreams.backends[0].peers
    await live.until(lambda: any(peer.unhealthy for peer in peers))
    assert {(await live.get())[1] for _ in range(10)} == {b"well"}
    state = b"204 No Content"
    await live.until(lambda: not any(peer.unhealthy for peer in peers))
    assert {(await live.get())[1] for _ in range(10)} == {b"well", b"ill"}


def reply(body: bytes, status: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


async def test_a_response_says_when_it_was_made_and_what_the_upstream_says_stays(shop: Any) -> None:
    live, web = shop
    for _ in range(2):
        _, headers, _ = await live.ask()
        assert headers["date"].endswith(" GMT")
    assert (await live.ask("/", "nobody.example"))[1]["date"].endswith(" GMT")

    async def answer(*_: Any) -> bytes:
        return b"HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 2\r\n\r\nok"

    web.answer = answer
    for _ in range(2):
        assert (await live.ask())[1]["date"] == "then"


async def test_a_trace_context_is_passed_on_as_it_came(shop: Any) -> None:
    live, web = shop
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await live.ask("/", "shop.example", f"traceparent: {trace}", "tracestate: a=1,b=2")
    headers = web.requests[-1].headers
    assert (headers["traceparent"], headers["tracestate"]) == (trace, "a=1,b=2")


async def test_who_was_answered_by_a_canary_stays_with_it_and_who_was_not_stays_away(shop: Any, upstream: Any) -> None:
    live, _ = shop
    rules = [("shop.example", "Prefix", "/", "web")]
    live.ingress("web", rules, {"sticky": "true"})
    live.service("next", await upstream(b"next"))
    canary = [("shop.example", "Prefix", "/", "next")]
    live.ingress("canary", canary, {"canary": "true", "canary-weight": "50", "canary-header": "X-Canary"})
    cookies: dict[bytes, str] = {}
    while len(cookies) < 2:
        _, headers, body = await live.ask()
        cookies[body] = headers["set-cookie"].partition(";")[0]
    for body, cookie in cookies.items():
        assert {(await live.ask("/", "shop.example", f"Cookie: {cookie}"))[2] for _ in range(12)} == {body}
    asked = await live.ask("/", "shop.example", f"Cookie: {cookies[b'ok']}", "X-Canary: always")
    assert asked[2] == b"next"
