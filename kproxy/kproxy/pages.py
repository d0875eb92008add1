"""The proxy's own pages: /healthz and /livez, and /metrics and /proxyMode, where kube-proxy has them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address

from aiohttp import web

from kproxy.errors import PagesNotServed
from kproxy.host import Host
from kproxy.ports import listening
from kproxy.settings import Bind

Page = Callable[[], Awaitable[web.Response]]


@asynccontextmanager
async def served(host: Host, bind: Bind, pages: Mapping[str, Page]) -> AsyncIterator[None]:
    """Serve pages by path at one address of a host. Raises PagesNotServed."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        page = pages.get(request.path)
        if page is None:
            return web.Response(status=404, text=f"there are {', '.join(pages)}\n")
        return await page()

    address, port = bind
    runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=1)
    await runner.setup()
    try:
        await web.SockSite(runner, _listening(host, address, port)).start()
        yield
    finally:
        await runner.cleanup()


def _listening(host: Host, address: str, port: int) -> socket.socket:
    try:
        return listening(host, ip_address(address), port)
    except OSError as error:
        raise PagesNotServed(f"{address}:{port} cannot be served: {error.strerror or error}") from error
