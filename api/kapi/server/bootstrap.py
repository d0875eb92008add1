"""What there is in every cluster before anybody has written anything."""

from __future__ import annotations

from typing import Any

from kapi.client import Client
from kapi.errors import AlreadyExists
from kapi.resources import NAMESPACES

Json = dict[str, Any]

NAMES = ("default", "kube-system", "kube-public", "kube-node-lease")


async def make_namespaces(client: Client) -> None:
    """Create the namespaces that people and components expect."""
    for name in NAMES:
        try:
            await client.create(NAMESPACES, {"metadata": {"name": name}})
        except AlreadyExists:
            continue
