"""PersistentVolumeClaims: each is bound at once, as its folder is made where a pod first uses it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kapi.resources import PERSISTENT_VOLUME_CLAIMS
from netnslab.workloads.actions import Decision, Patch
from netnslab.workloads.values import Object, identity

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class VolumeClaim(Object):
    """A PersistentVolumeClaim: in which phase it is, and what it asks for."""

    phase: str = "Pending"
    modes: tuple[str, ...] = ()
    requests: Json = field(default_factory=dict)


def volume_claim(obj: Json) -> VolumeClaim:
    """Read a v1 PersistentVolumeClaim."""
    spec = obj.get("spec") or {}
    return VolumeClaim(
        identity(obj),
        phase=(obj.get("status") or {}).get("phase") or "Pending",
        modes=tuple(spec.get("accessModes") or ()),
        requests=(spec.get("resources") or {}).get("requests") or {},
    )


def decide(claim: VolumeClaim) -> Decision:
    """Bind a claim. There is no PersistentVolume behind it, and it has whatever it asks for."""
    if claim.phase != "Pending" or claim.meta.terminating:
        return Decision()
    status = {"phase": "Bound", "accessModes": list(claim.modes), "capacity": claim.requests}
    return Decision((Patch(PERSISTENT_VOLUME_CLAIMS, claim.key, {"status": status}, "status"),))
