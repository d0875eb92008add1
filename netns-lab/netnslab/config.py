"""What was asked of a lab, as it travels from the command line to the lab's own process. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

DEFAULT_NODES = 3
DEFAULT_BACKEND = "nftables"


@dataclass(frozen=True, slots=True)
class Config:
    """One lab. `manifests` are objects to apply once it runs, from the files given on the command line."""

    name: str
    nodes: int = DEFAULT_NODES
    backend: str = DEFAULT_BACKEND
    manifests: tuple[Json, ...] = field(default=(), repr=False)
