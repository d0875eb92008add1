"""Which address families a Service gets: KEP-563, dual stack. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from kapi.server.fields import FieldError, invalid, unsupported
from kapi.server.kinds.services import is_headless

Json = dict[str, Any]

_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")


def complete_families(spec: Json, old: Json | None, configured: tuple[str, ...]) -> list[FieldError]:
    """Fill in `ipFamilies`, `ipFamilyPolicy` and the form of `clusterIPs`; says what cannot be had.

    `configured` are the families of the cluster, the default one first.
    """
    if spec["type"] == "ExternalName":
        for part in ("ipFamilies", "ipFamilyPolicy"):
            spec.pop(part, None)
        return []
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in _POLICIES:
        return [unsupported("spec.ipFamilyPolicy", policy, _POLICIES)]
    addresses = [a for a in spec.get("clusterIPs") or () if a != "None"]
    if old is not None and policy == "SingleStack":
        errors = _release(spec, old, addresses)
        if errors:
            return errors
        addresses = [a for a in spec.get("clusterIPs") or () if a != "None"]
    families = list(spec.get("ipFamilies") or ())
    for address in addresses:
        family = f"IPv{ip_address(address).version}"
        if family not in families:
            families.append(family)
    errors = _check(spec, families, configured)
    if errors:
        return errors
    _fill(spec, families, configured)
    return []


def _release(spec: Json, old: Json, addresses: list[str]) -> list[FieldError]:
    """Going to SingleStack drops the second family, where the client did not name it anew."""
    if old.get("ipFamilyPolicy") == "SingleStack" or len(old.get("ipFamilies") or ()) < 2:
        return []
    if addresses == old.get("clusterIPs") or len(addresses) == 1:
        spec["clusterIPs"] = (spec.get("clusterIPs") or [])[:1]
    if spec.get("ipFamilies") == old.get("ipFamilies"):
        spec["ipFamilies"] = spec["ipFamilies"][:1]
    return []


def _check(spec: Json, families: list[str], configured: tuple[str, ...]) -> list[FieldError]:
    policy = spec.get("ipFamilyPolicy")
    errors = [
        invalid(f"spec.ipFamilies[{i}]", family, "not configured on this cluster")
        for i, family in enumerate(families)
        if family not in configured
    ]
    if len(set(families)) < len(families):
        errors.append(FieldError("spec.ipFamilies[1]", "Duplicate value", families[1]))
    if policy == "RequireDualStack" and len(configured) < 2:
        text = "this cluster is not configured for dual-stack services"
        errors.append(invalid("spec.ipFamilyPolicy", policy, text))
    if len(families) > 1 and policy == "SingleStack":
        text = "must be RequireDualStack or PreferDualStack when multiple IP families are specified"
        errors.append(invalid("spec.ipFamilyPolicy", policy, text))
    return errors


def _fill(spec: Json, families: list[str], configured: tuple[str, ...]) -> None:
    without_pods = is_headless(spec) and not spec.get("selector")
    policy = spec.get("ipFamilyPolicy")
    if policy is None:
        policy = "RequireDualStack" if len(families) > 1 or without_pods else "SingleStack"
        spec["ipFamilyPolicy"] = policy
    if not families:
        families = [configured[0]]
    second = policy != "SingleStack" and len(families) < 2
    if second and without_pods:
        families += [family for family in ("IPv4", "IPv6") if family not in families]
    elif second:
        families += [family for family in configured if family not in families]
    spec["ipFamilies"] = families
    if is_headless(spec):
        spec["clusterIP"], spec["clusterIPs"] = "None", ["None"]
