"""Who asks: a pod, and what its resolver is told to do by its spec (dnsPolicy, dnsConfig). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kdns import searchpath

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asker:
    """A pod's search path; `elsewhere` says in a sentence why it asks no server of the cluster, where it does not."""

    search: tuple[str, ...]
    ndots: int = searchpath.NDOTS
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class PodSpec:
    """As much of a pod as its resolver depends on."""

    policy: str
    host_network: bool
    searches: tuple[str, ...]
    ndots: int | None


def pod_spec(obj: Json) -> PodSpec:
    """Read a v1 Pod."""
    spec = obj.get("spec") or {}
    config = spec.get("dnsConfig") or {}
    options = {str(option.get("name")): option.get("value") for option in config.get("options") or ()}
    given = options.get("ndots")
    return PodSpec(
        policy=str(spec.get("dnsPolicy") or "ClusterFirst"),
        host_network=bool(spec.get("hostNetwork")),
        searches=tuple(str(each).removesuffix(".") for each in config.get("searches") or ()),
        ndots=int(given) if given is not None and str(given).isdecimal() else None,
    )


def asker(pod: PodSpec | None, namespace: str, zone: str) -> Asker:
    """Give how a pod asks; without one, any pod of the namespace that says nothing of its own."""
    usual = searchpath.suffixes(namespace, zone)
    if pod is None:
        return Asker(usual)
    ndots = searchpath.NDOTS if pod.ndots is None else pod.ndots
    if pod.policy == "None":
        return Asker(pod.searches, 1 if pod.ndots is None else pod.ndots)
    if pod.policy == "Default" or (pod.policy == "ClusterFirst" and pod.host_network):
        why = (
            "dnsPolicy Default" if pod.policy == "Default" else "hostNetwork without dnsPolicy ClusterFirstWithHostNet"
        )
        return Asker(pod.searches, 1 if pod.ndots is None else pod.ndots, f"{why}: it asks its node's name server")
    return Asker((*usual, *pod.searches), ndots)
