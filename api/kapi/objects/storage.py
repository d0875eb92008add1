"""Volumes: what pods claim, and what there is."""

from __future__ import annotations

from kapi.objects.base import (
    Bool,
    Condition,
    Json,
    LabelSelector,
    Object,
    Quantity,
    Structure,
    about,
)


class VolumeResources(Structure):
    """How much room a volume has."""

    limits: dict[str, Quantity] | None = about("The most that may be given.")
    requests: dict[str, Quantity] | None = about("The least that is needed.")


class PersistentVolumeClaimSpec(Structure):
    """What a claim asks for."""

    access_modes: list[str] | None = about("ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod.")
    selector: LabelSelector | None = about("Volumes to choose from.")
    resources: VolumeResources | None = about("The room that is needed.")
    volume_name: str | None = about("The volume that the claim is bound to.")
    storage_class_name: str | None = about("The StorageClass to make a volume of.")
    volume_mode: str | None = about("Filesystem (the default) or Block.")
    data_source: Json | None = about("An object to fill the volume from.")
    data_source_ref: Json | None = about("An object to fill the volume from, maybe of another namespace.")
    volume_attributes_class_name: str | None = about("The class of further attributes.")


class PersistentVolumeClaimStatus(Structure):
    """What became of a claim."""

    phase: str | None = about("Pending, Bound or Lost.")
    access_modes: list[str] | None = about("How the volume can be used.")
    capacity: dict[str, Quantity] | None = about("The room it has.")
    conditions: list[Condition] | None = about("Further state.", key="type")
    allocated_resources: dict[str, Quantity] | None = about("The room that is set aside.")
    allocated_resource_statuses: dict[str, str] | None = about("State of a change of size.")
    current_volume_attributes_class_name: str | None = about("The class of attributes it has.")
    modify_volume_status: Json | None = about("State of a change of attributes.")


class PersistentVolumeClaim(Object):
    """A pod's claim to a volume."""

    spec: PersistentVolumeClaimSpec | None = about("What is asked for.")
    status: PersistentVolumeClaimStatus | None = about("What became of it.")


class PersistentVolume(Object):
    """A volume that can be claimed."""

    spec: Json | None = about("What the volume is and how it is reached.")
    status: Json | None = about("Whether it is claimed.")


class StorageClass(Object):
    """A way to make volumes."""

    provisioner: str | None = about("Who makes the volumes.")
    parameters: dict[str, str] | None = about("Settings of the provisioner.")
    reclaim_policy: str | None = about("Delete (the default) or Retain: what becomes of released volumes.")
    mount_options: list[str] | None = about("Options to mount with.")
    allow_volume_expansion: Bool | None = about("Whether claims may grow.")
    volume_binding_mode: str | None = about("Immediate (the default) or WaitForFirstConsumer.")
    allowed_topologies: list[Json] | None = about("Where volumes may be made.")


class CSIDriver(Object):
    """A driver of volumes."""

    spec: Json | None = about("What the driver can do.")


class CSINode(Object):
    """The drivers of volumes on a node."""

    spec: Json | None = about("The drivers.")


class VolumeAttachment(Object):
    """A volume's being attached to a node."""

    spec: Json | None = about("Which volume to attach to which node.")
    status: Json | None = about("Whether it is.")
