"""A kind that the server does not know is declared once, here, and then has all that the others have."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kapi.client import Client
from kapi.errors import BadRequest, Conflict, Invalid, NotFound
from kapi.objects.base import Int, Object, Structure, about
from kapi.resources import NAMESPACES, Resource
from kapi.server import ApiServer
from kapi.server.columns import NAME, Column, number
from kapi.server.fields import FieldError, invalid
from kapi.server.kinds import KINDS, Kind
from kapi.store.memory import MemoryStore
from kapi.transport import Request

Json = dict[str, Any]


class Part(Structure):
    """A part of a widget."""

    name: str | None = about("What it is called.")
    weight: Int | None = about("How heavy it is.")


class WidgetSpec(Structure):
    """What a widget is to be."""

    size: Int | None = about("How large it is.")
    parts: list[Part] | None = about("What it is made of.", key="name")


class Widget(Object):
    """A thing that no cluster knows."""

    spec: WidgetSpec | None = about("What it is to be.")


def default(obj: Json) -> None:
    obj.setdefault("spec", {}).setdefault("size", 1)


def check(new: Json, _: Json | None) -> list[FieldError]:
    size = new["spec"]["size"]
    return [] if size < 10 else [invalid("spec.size", size, "must be less than 10")]


WIDGET = Kind(
    Resource("example.com", "v1", "widgets", "Widget", True, ("wd",), (), ("status",)),
    Widget,
    default=default,
    validate=check,
    columns=(NAME, Column("Size", number("spec.size"), type="integer")),
    counted=("spec",),
)
WIDGETS = WIDGET.resource


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with ApiServer(MemoryStore(), kinds=(*KINDS, WIDGET)) as server:
        sock = socket.create_server(("127.0.0.1", 0))
        await server.listen(sock)
        here = Client.connect(f"http://127.0.0.1:{sock.getsockname()[1]}")
        yield here
        await here.close()


async def ask(client: Client, path: str, accept: str = "application/json") -> Json:
    return await client.transport.send(Request("GET", path, accept=accept))


async def test_it_is_written_defaulted_checked_and_watched(client: Client) -> None:
    made = await client.create(WIDGETS, {"metadata": {"name": "w"}})
    assert (made["spec"], made["metadata"]["generation"]) == ({"size": 1}, 1)
    with pytest.raises(Invalid, match=r'Widget.example.com "w" is invalid: spec.size: Invalid value: 10: must be less'):
        await client.patch(WIDGETS, "w", {"spec": {"size": 10}}, "default")
    with pytest.raises(BadRequest, match=r"spec.size: Invalid value: "):
        await client.patch(WIDGETS, "w", {"spec": {"size": "x"}}, "default")
    version = made["metadata"]["resourceVersion"]
    async with client.watch(WIDGETS, resource_version=version) as stream:
        changed = await client.patch(WIDGETS, "w", {"spec": {"size": 2}}, "default")
        assert (await anext(aiter(stream)))["object"] == changed
    assert changed["metadata"]["generation"] == 2
    told = await client.patch(WIDGETS, "w", {"status": {"well": True}}, "default", subresource="status")
    assert (told["status"], told["metadata"]["generation"]) == ({"well": True}, 2)


async def test_its_lists_are_merged_by_their_keys_in_every_kind_of_patch(client: Client) -> None:
    parts = [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}]
    obj: Json = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"parts": parts}}
    await client.patch(WIDGETS, "w", obj, "default", kind="apply", manager="me")
    patch = {"spec": {"parts": [{"name": "a", "weight": 2}]}}
    merged = await client.patch(WIDGETS, "w", patch, "default", kind="strategic", manager="other")
    assert merged["spec"]["parts"] == [{"name": "a", "weight": 2}, {"name": "b", "weight": 1}]
    with pytest.raises(
        Conflict, match=r"conflict with \"other\" using example.com/v1: .spec.parts\[name=\"a\"\].weight"
    ):
        await client.patch(WIDGETS, "w", obj, "default", kind="apply", manager="me")


async def test_it_is_discovered_explained_and_shown(client: Client) -> None:
    listed = await ask(client, "/apis/example.com/v1")
    assert [entry["name"] for entry in listed["resources"]] == ["widgets", "widgets/status"]
    document = await ask(client, "/openapi/v3/apis/example.com/v1")
    (name,) = (name for name in document["components"]["schemas"] if name.endswith(".WidgetSpec"))
    properties = document["components"]["schemas"][name]["properties"]
    assert properties["size"] == {"type": "integer", "format": "int32", "description": "How large it is."}
    await client.create(WIDGETS, {"metadata": {"name": "w"}})
    table = await ask(client, WIDGETS.path("default"), "application/json;as=Table;v=v1;g=meta.k8s.io")
    assert table["rows"][0]["cells"] == ["w", 1]


async def test_it_goes_with_its_namespace(client: Client) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": "n"}})
    await client.create(WIDGETS, {"metadata": {"name": "w"}}, "n")
    await client.delete(NAMESPACES, "n")
    async with asyncio.timeout(5):
        while True:
            try:
                await client.get(WIDGETS, "w", "n")
            except NotFound:
                return
            await asyncio.sleep(0.01)
