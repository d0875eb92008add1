"""Kubernetes objects in protobuf, as `kubectl create` sends them. Pure."""

from __future__ import annotations

from typing import Any

from kapi.codec.bodies import BodyError

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"


def decode(data: bytes) -> dict[str, Any]:
    """Read an object from its envelope. Raises `BodyError`."""
    raise BodyError(f"{len(data)} bytes of protobuf cannot be read")
