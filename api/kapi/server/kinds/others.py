"""Kinds that are stored for those who read them, and the ranges of Services. Pure."""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Any

from kapi.objects import IPAddress, ServiceCIDR, others
from kapi.resources import (
    ADMISSION_POLICIES,
    ADMISSION_POLICY_BINDINGS,
    CERTIFICATE_SIGNING_REQUESTS,
    DEVICE_CLASSES,
    IP_ADDRESSES,
    RESOURCE_CLAIM_TEMPLATES,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
    SERVICE_CIDRS,
    VOLUME_ATTRIBUTES_CLASSES,
)
from kapi.server.columns import AGE, NAME, Column
from kapi.server.fields import FieldError, invalid, required
from kapi.server.kinds.kind import Kind

Json = dict[str, Any]


def _check_cidrs(new: Json, old: Json | None) -> list[FieldError]:
    ranges = (new.get("spec") or {}).get("cidrs") or []
    errors: list[FieldError] = [] if ranges else [required("spec.cidrs", "at least one CIDR required")]
    for index, text in enumerate(ranges):
        try:
            ip_network(text)
        except ValueError:
            text_of = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            errors.append(invalid(f"spec.cidrs[{index}]", text, text_of))
    if old is not None and (old.get("spec") or {}).get("cidrs") != ranges:
        errors.append(invalid("spec.cidrs", ranges, "field is immutable"))
    return errors


def _cidrs(obj: Json, _: datetime) -> str:
    return ",".join((obj.get("spec") or {}).get("cidrs") or ())


def _check_address(new: Json, _: Json | None) -> list[FieldError]:
    name = new["metadata"].get("name") or ""
    try:
        fits = str(ip_address(name)) == name
    except ValueError:
        fits = False
    errors = [] if fits else [invalid("metadata.name", name, "must be a valid IP address in canonical form")]
    if not (new.get("spec") or {}).get("parentRef"):
        errors.append(required("spec.parentRef"))
    return errors


def _parent(obj: Json, _: datetime) -> str:
    parent = (obj.get("spec") or {}).get("parentRef") or {}
    return f"{parent.get('resource', '')}/{parent.get('namespace', '')}/{parent.get('name', '')}"


SERVICE_CIDR = Kind(SERVICE_CIDRS, ServiceCIDR, validate=_check_cidrs, columns=(NAME, Column("CIDRs", _cidrs), AGE))
IP_ADDRESS = Kind(IP_ADDRESSES, IPAddress, validate=_check_address, columns=(NAME, Column("ParentRef", _parent)))

KEPT: tuple[Kind, ...] = (
    Kind(CERTIFICATE_SIGNING_REQUESTS, others.CertificateSigningRequest),
    Kind(ADMISSION_POLICIES, others.ValidatingAdmissionPolicy, counted=("spec",), update_names_version=True),
    Kind(
        ADMISSION_POLICY_BINDINGS,
        others.ValidatingAdmissionPolicyBinding,
        counted=("spec",),
        update_names_version=True,
    ),
    Kind(RESOURCE_CLAIMS, others.ResourceClaim),
    Kind(RESOURCE_CLAIM_TEMPLATES, others.ResourceClaimTemplate),
    Kind(RESOURCE_SLICES, others.ResourceSlice, counted=("spec",)),
    Kind(DEVICE_CLASSES, others.DeviceClass, counted=("spec",)),
    Kind(VOLUME_ATTRIBUTES_CLASSES, others.VolumeAttributesClass),
)
