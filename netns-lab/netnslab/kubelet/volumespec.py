"""The volumes of a pod as its kubelet needs them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

ROOT_CERTIFICATE = "kube-root-ca.crt"  # the ConfigMap that every namespace of a cluster has


class SourceKind(StrEnum):
    """What the files of a volume may come from."""

    CONFIG_MAP = "configMap"
    SECRET = "secret"  # noqa: S105  # a kind
    DOWNWARD_API = "downwardAPI"
    TOKEN = "serviceAccountToken"  # noqa: S105  # as above


@dataclass(frozen=True, slots=True)
class Item:
    """One file: the key or field that it comes from, its path in the volume, and its mode where it has one."""

    key: str
    path: str
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where files come from. `name` is the object's, or a token's audience; without items, all keys are files."""

    kind: SourceKind
    name: str = ""
    items: tuple[Item, ...] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume: with files that are `made` from its sources, or a folder for the pod to write in.

    That is an empty one, or what earlier pods left in the folder of a PersistentVolumeClaim. `unknown` is the kind of a
    volume that cannot be had here.
    """

    name: str
    sources: tuple[Source, ...] = ()
    mode: int = 0o644
    made: bool = False
    claim: str = ""
    read_only: bool = False
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a container has a volume, or with `sub_path` a part of it; variables in that are replaced if `expand`."""

    volume: str
    path: str
    sub_path: str = ""
    expand: bool = False
    read_only: bool = False


ACCOUNT = Volume(
    "kube-api-access",
    (
        Source(SourceKind.TOKEN, items=(Item("", "token"),)),
        Source(SourceKind.CONFIG_MAP, ROOT_CERTIFICATE, (Item("ca.crt", "ca.crt"),)),
        Source(SourceKind.DOWNWARD_API, items=(Item("metadata.namespace", "namespace"),)),
    ),
    made=True,
)
"""What every pod shows to the API, at `ACCOUNT_MOUNT`, unless it wants none."""

ACCOUNT_MOUNT = Mount(ACCOUNT.name, "/var/run/secrets/kubernetes.io/serviceaccount")
