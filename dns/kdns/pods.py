"""Which pods have which address, from live state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kapi import decode
from kapi.cache import Cache, Change
from kapi.network import Address
from kapi.resources import PODS
from kapi.source import Source

_ENDED = {"Succeeded", "Failed", "Unknown"}


@dataclass(frozen=True, slots=True)
class PodAddresses:
    """As much of a Pod as names need. A pod that has ended has no addresses: others may have got them since."""

    namespace: str
    addresses: tuple[Address, ...]


def pod_addresses(obj: dict[str, Any]) -> PodAddresses:
    """Read a v1 Pod."""
    pod = decode.pod(obj)
    return PodAddresses(pod.namespace, () if pod.phase in _ENDED else pod.ips)


class Pods:
    """Namespaces by address, text as in `str(address)`."""

    def __init__(self, source: Source) -> None:
        self._cache: Cache[PodAddresses] = source.cache(PODS, pod_addresses)
        self._namespaces: dict[str, dict[str, str]] = {}  # address -> pod key -> namespace
        self._cache.listen(self._on_pod)

    @property
    def synced(self) -> bool:
        """Whether all pods are known."""
        return self._cache.synced

    def namespaces(self, address: str) -> Iterator[str]:
        """Give the namespaces with a pod that has an address; several only for pods on their node's network."""
        yield from dict.fromkeys(self._namespaces.get(address, {}).values())

    def close(self) -> None:
        """Hear of no more pods."""
        self._cache.unlisten(self._on_pod)

    def _on_pod(self, change: Change[PodAddresses]) -> None:
        for address in change.old.addresses if change.old else ():
            having = self._namespaces.get(str(address), {})
            having.pop(change.key, None)
            if not having:
                self._namespaces.pop(str(address), None)
        for address in change.new.addresses if change.new else ():
            self._namespaces.setdefault(str(address), {})[change.key] = change.new.namespace if change.new else ""
