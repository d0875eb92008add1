"""The admin pages, as a person and as a script see them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import aiohttp
import pytest
from tests import reference

from kingress import admin
from kingress.mates import Mates
from kingress.state import State

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")


@pytest.fixture
async def pages(shop: Any, signed: Any) -> Any:
    """The admin pages of an ingress with something of everything; gives their URL."""
    live, _ = shop
    certificate = signed("shop.example")
    rules = [("shop.example", "Prefix", "/cart", "web"), ("<b>.example", "Prefix", "/", "web")]
    live.ingress(
        "cart",
        rules,
        {"request-headers": "X-Team: <script>alert(1)</script>", "sticky": "true"},
        tls=[
            {"secretName": "cert", "hosts": ["shop.example", "other.example"]},
            {"secretName": "gone", "hosts": ["x"]},
        ],
    )
    live.ingress("missing", [("lost.example", "Prefix", "/", "nobody")])
    live.secret("cert", tls_crt=certificate[0], tls_key=certificate[1])
    for cache in live.source.caches.values():
        cache._synced.set()
    runner = await admin.serve(State(live.gateway, live.controller), Mates(), "127.0.0.1", 0)
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def read(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return json.loads(await answer.text())


async def test_routes_and_certificates_are_told_as_json(pages: str) -> None:
    routes = await read(f"{pages}/routes")
    cart = next(row for row in routes if row["path"] == "/cart")
    assert cart["asks"] == {"request-headers": "X-Team: <script>alert(1)</script>", "sticky": "true"}
    assert next(row for row in routes if row["host"] == "lost.example")["missing"].startswith("Service shop/nobody")
    certificates = {row["host"]: row for row in await read(f"{pages}/certificates")}
    assert certificates["shop.example"]["names"] == ["shop.example"]
    assert certificates["x"]["wrong"] == "it does not exist"
    assert certificates["other.example"]["wrong"] == "it is not for other.example"
    assert certificates["shop.example"]["wrong"] == ""


async def test_metrics_tell_when_certificates_end(pages: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{pages}/metrics") as answer:
        text = await answer.text()
    assert 'kingress_certificate_expiry_seconds{secret="shop/cert"} 1' in text
    assert "kingress_processes 1\n" in text


async def test_every_metric_is_told_in_the_reference_with_its_labels(shop: Any, pages: str) -> None:
    live, web = shop
    await live.get()
    await web.stop()
    assert (await live.get())[0] == 502
    await live.controller._report("shop/missing")
    async with aiohttp.ClientSession() as session, session.get(f"{pages}/metrics") as answer:
        text = await answer.text()
    found = {}
    for name, labels in re.findall(r"^(\w+)(?:{(.*)})? ", text, re.MULTILINE):
        short = re.sub(r"_seconds_(bucket|sum|count)$", "_seconds", name)
        found[short] = [each for each in re.findall(r'([a-z]+)="', labels) if each != "le"]
    page = (reference.FOLDER / "kingress.md").read_text()
    told = {row[0] for row in reference.rows(reference.section(page, "Metrics")) if row[0].startswith("`")}
    assert told == {f"`{name}{{{','.join(labels)}}}`" if labels else f"`{name}`" for name, labels in found.items()}


async def test_only_the_page_and_its_parts_are_served(pages: str) -> None:
    async with aiohttp.ClientSession() as session:
        for path, status in (("/", 200), ("/page/page.js", 200), ("/page/..%2fadmin.py", 404), ("/page/x", 404)):
            async with session.get(pages + path) as answer:
                assert answer.status == status
                assert status == 404 or "default-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.skipif(not shutil.which("chromium"), reason="the page is looked at with chromium, which is not installed")
async def test_a_browser_shows_routes_endpoints_and_what_is_wrong(pages: str, tmp_path: Any) -> None:
    import asyncio

    command = ["chromium", *FLAGS, *QUIET, f"--user-data-dir={tmp_path}", "--virtual-time-budget=3000", "--dump-dom"]
    shown = await asyncio.to_thread(
        subprocess.run, [*command, f"{pages}/"], capture_output=True, text=True, check=True, timeout=25
    )
    page = shown.stdout
    assert ">ready</p>" in page
    for words in ("shop.example", "/cart (Prefix)", "127.0.0.1:", "Service shop/nobody does not exist.", "shop/cert"):
        assert words in page, words
    assert "X-Team: &lt;script&gt;alert(1)&lt;/script&gt;" in page
