from __future__ import annotations

from typing import Any

from kingress import decode
from kingress.backends import Resolution
from kingress.explain import Question, explain
from kingress.routes import Routes


def ingress(name: str, rules: list[tuple[str, str, str]], **asked: str) -> dict[str, Any]:
    annotations = {"kproxy.io/" + key.replace("_", "-"): value for key, value in asked.items()}
    backend = {"service": {"name": name, "port": {"number": 80}}}
    written = [
        {"host": host, "http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}}
        for host, kind, path in rules
    ]
    meta = {"namespace": "shop", "name": name, "annotations": annotations}
    return {"metadata": meta, "spec": {"rules": [r if r["host"] else {"http": r["http"]} for r in written]}}


def told(
    *ingresses: dict[str, Any], url: str = "/cart/1", host: str = "a.example", missing: str = "", said: str = ""
) -> str:
    routes = Routes()
    for each in ingresses:
        routes.put(decode.ingress(each))
    raw = f"GET {url} HTTP/1.1\r\nHost: {host}\r\nX-Canary: always\r\n{said}\r\n"
    resolution = Resolution(reason=missing) if missing else Resolution((("10.0.0.1", 8080),))
    return "\n".join(explain(routes.table, lambda _: resolution, Question(raw.encode())))


WEB = ingress("web", [("a.example", "Prefix", "/"), ("*.example", "Prefix", "/cart")])
CART = ingress("cart", [("a.example", "Prefix", "/cart"), ("a.example", "Exact", "/cart/1/pay")])


def test_it_says_which_rule_applies_and_why_the_others_do_not() -> None:
    text = told(WEB, CART)
    assert "Prefix /cart (Ingress shop/cart spec.rules[0].http.paths[0]): applies: the longest that matches" in text
    assert "Prefix / (Ingress shop/web spec.rules[0].http.paths[0]): matches, but another goes before it" in text
    assert "Exact /cart/1/pay (Ingress shop/cart spec.rules[1].http.paths[0]): does not match" in text
    assert "answered by Ingress shop/cart spec.rules[0].http.paths[0]" in text
    assert "backend shop/cart:80: 10.0.0.1:8080" in text
    assert "wildcard" not in text


def test_it_says_which_hosts_were_looked_at() -> None:
    text = told(WEB, host="b.example:8080", url="/cart?x=1")
    assert "the host itself: no rules" in text
    assert "the wildcard *.example: 1 rules" in text
    assert "404: no rule applies" in told(WEB, host="b.c.example")


def test_it_says_what_the_ingress_asks_for_and_what_becomes_of_the_request() -> None:
    asked = ingress("web", [("a.example", "Prefix", "/cart")], replace_prefix="/v2", upstream_host="in.example")
    text = told(asked)
    assert "replace-prefix: /v2 (the rule's path is replaced" in text
    for line in ("- GET /cart/1 HTTP/1.1", "+ GET /v2/1 HTTP/1.1", "- Host: a.example", "+ Host: in.example"):
        assert f"    {line}\n" in text
    refused = told(ingress("web", [("", "Prefix", "/")], allow="10.0.0.0/8"))
    assert "answered at once with 403" in refused
    canary = ingress("next", [("a.example", "Prefix", "/")], canary="true", canary_header="X-Canary")
    assert "goes to canary Ingress shop/next spec.rules[0].http.paths[0]: always" in told(WEB, canary, url="/")
    by_chance = ingress("next", [("a.example", "Prefix", "/")], canary="true", canary_weight="5")
    assert ": by chance (5)" in told(WEB, by_chance, url="/")


def test_it_says_what_is_missing() -> None:
    text = told(WEB, missing="Service shop/web does not exist.")
    assert "backend shop/web:80: Service shop/web does not exist." in text
    assert "503 until it has endpoints" in text


def test_it_says_what_of_the_head_is_not_forwarded_and_what_is_added() -> None:
    edited = ingress("web", [("a.example", "Prefix", "/")], request_headers="X-Team: shop\n-X-Canary")
    text = told(edited, said="X-Real-IP: 1.2.3.4\r\nConnection: close\r\nAccept: */*\r\n")
    changes = [line.strip() for line in text.splitlines() if line.startswith(("    - ", "    + "))]
    assert changes == [
        "- X-Canary: always",
        "- X-Real-IP: 1.2.3.4",
        "- Connection: close",
        "+ X-Team: shop",
        "+ X-Forwarded-For: 127.0.0.1",
        "+ X-Real-IP: 127.0.0.1",
        "+ X-Forwarded-Proto: http",
        "+ X-Forwarded-Port: 80",
        "+ X-Forwarded-Host: a.example",
        "+ X-Request-ID: (another for each request)",
    ]


def test_a_request_that_would_be_refused_is_told_as_that() -> None:
    assert told(WEB, url="/../x") == "400: the request is refused: the request target climbs above the root"
    assert told(WEB, host="a@b").startswith("400: the request is refused: ")
    assert told(WEB, said="Transfer-Encoding: chunked\r\nContent-Length: 1\r\n").startswith("400: ")


def test_an_ingress_that_would_match_if_it_were_ours_is_named() -> None:
    routes = Routes()
    routes.put(decode.ingress(WEB))
    question = Question(b"GET /cart/1 HTTP/1.1\r\nHost: a.example\r\n\r\n")
    strangers = [(decode.ingress(CART), "it is of class nginx"), (decode.ingress(ingress("x", [])), "it is of none")]
    text = list(explain(routes.table, lambda _: Resolution(reason="none"), question, strangers))
    (line,) = [each for each in text if "passed over" in each]
    assert line == (
        "  passed over: Ingress shop/cart spec.rules[0].http.paths[0] would match, but it is of class nginx"
    )
