"""Volumes and claims: stored for those who act on them. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kapi.objects import storage
from kapi.resources import (
    CSI_DRIVERS,
    CSI_NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
    VOLUME_ATTACHMENTS,
)
from kapi.server.columns import AGE, NAME, Column, at
from kapi.server.fields import FieldError, required, unsupported
from kapi.server.kinds.kind import Kind

Json = dict[str, Any]

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def default_claim(obj: Json) -> None:
    """Fill in a claim, or the template of one."""
    obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _check_claim(new: Json, _: Json | None) -> list[FieldError]:
    spec = new["spec"]
    modes = spec.get("accessModes") or []
    errors = [unsupported("spec.accessModes", mode, tuple(_MODES)) for mode in modes if mode not in _MODES]
    if not modes:
        errors.append(required("spec.accessModes", "at least 1 access mode is required"))
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        errors.append(required("spec.resources[storage]"))
    return errors


def _modes(path: str) -> Any:
    find = at(path, [])

    def cell(obj: Json, now: datetime) -> str:
        return ",".join(_MODES.get(mode, mode) for mode in find(obj, now))

    return cell


CLAIM = Kind(
    PERSISTENT_VOLUME_CLAIMS,
    storage.PersistentVolumeClaim,
    default=default_claim,
    validate=_check_claim,
    columns=(
        NAME,
        Column("Status", at("status.phase", "")),
        Column("Volume", at("spec.volumeName", "")),
        Column("Capacity", at("status.capacity.storage", "")),
        Column("Access Modes", _modes("status.accessModes")),
        Column("StorageClass", at("spec.storageClassName", "")),
        Column("VolumeAttributesClass", at("spec.volumeAttributesClassName", "<unset>")),
        AGE,
        Column("VolumeMode", at("spec.volumeMode", ""), wide=True),
    ),
)


def _default_volume(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _claim(obj: Json, _: datetime) -> str:
    claim = (obj.get("spec") or {}).get("claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if isinstance(claim, dict) else ""


VOLUME = Kind(
    PERSISTENT_VOLUMES,
    storage.PersistentVolume,
    default=_default_volume,
    columns=(
        NAME,
        Column("Capacity", at("spec.capacity.storage", "")),
        Column("Access Modes", _modes("spec.accessModes")),
        Column("Reclaim Policy", at("spec.persistentVolumeReclaimPolicy", "")),
        Column("Status", at("status.phase", "")),
        Column("Claim", _claim),
        Column("StorageClass", at("spec.storageClassName", "")),
        Column("Reason", at("status.reason", "")),
        AGE,
        Column("VolumeMode", at("spec.volumeMode", ""), wide=True),
    ),
)


def _default_class(obj: Json) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def _check_class(new: Json, _: Json | None) -> list[FieldError]:
    return [] if new.get("provisioner") else [required("provisioner")]


STORAGE_CLASS = Kind(
    STORAGE_CLASSES,
    storage.StorageClass,
    default=_default_class,
    validate=_check_class,
    columns=(
        NAME,
        Column("Provisioner", at("provisioner")),
        Column("ReclaimPolicy", at("reclaimPolicy")),
        Column("VolumeBindingMode", at("volumeBindingMode")),
        Column("AllowVolumeExpansion", at("allowVolumeExpansion", False)),
        AGE,
    ),
)
CSI_DRIVER = Kind(CSI_DRIVERS, storage.CSIDriver, counted=("spec",), update_names_version=True)
CSI_NODE = Kind(CSI_NODES, storage.CSINode, update_names_version=True)
VOLUME_ATTACHMENT = Kind(VOLUME_ATTACHMENTS, storage.VolumeAttachment, update_names_version=True)
