"""How a cluster's own DNS server forwards, as its pods and its ConfigMap say: `explain` asks whom it would ask."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any

from kapi.client import Client
from kapi.errors import NotFound
from kapi.resources import CONFIG_MAPS, PODS
from kdns.corefile.configuration import configuration
from kdns.errors import SettingInvalid
from kdns.settings import Configuration, Forwarding

log = logging.getLogger(__name__)

Json = dict[str, Any]
ByFlags = Callable[[Sequence[str]], Configuration]

NAMESPACE, LABELS = "kube-system", "k8s-app=kube-dns"  # of the cluster's DNS server, whichever that is
_CONF = ("-conf", "--conf", "--corefile")


async def forwards(client: Client, by_flags: ByFlags) -> tuple[Forwarding, ...] | None:
    """Give whom the cluster's DNS server asks for the names of others; None where that cannot be told.

    `by_flags` reads the command line of a `kdns`, and raises `SettingInvalid` where that is none. Raises `ApiError`
    where the API does not answer.
    """
    for pod in (await client.list(PODS, NAMESPACE, labels=LABELS)).items:
        for container in pod["spec"].get("containers") or ():
            try:
                found = await _of(client, pod, container, by_flags)
            except SettingInvalid as error:  # another server's directives, say: nothing that could be followed here
                name = f"container {container.get('name')} of pod {pod['metadata']['name']}"
                log.warning("how %s forwards cannot be told: %s", name, error)
                continue
            if found is not None:
                return tuple(_forwards(found))
    return None


def _forwards(found: Configuration) -> Iterator[Forwarding]:
    """Give whom a configuration forwards to, each with the zone of the block it stands in."""
    for block in found.blocks:
        for zone in block.zones:
            yield from (replace(each, zone=each.zone or zone) for each in block.settings.forwards)


async def _of(client: Client, pod: Json, container: Json, by_flags: ByFlags) -> Configuration | None:
    command, args = [[str(word) for word in container.get(given) or ()] for given in ("command", "args")]
    words = [*command, *args]
    file = _after(words, _CONF)
    if file:
        text = await _mounted(client, pod, container, PurePosixPath(file))
        return configuration(text, file, _nothing, {}) if text else None
    if "kdns" in (container.get("image") or "").rpartition("/")[2]:
        return by_flags([*_after_program(command), *args])
    return None


def _after_program(command: Sequence[str]) -> Sequence[str]:
    """Give the flags in a container's command, whatever runs it. Raises `SettingInvalid` where it hides them."""
    named = [at for at, word in enumerate(command) if PurePosixPath(word).name == "kdns"]
    if command and not named:
        raise SettingInvalid(f"its command {shlex.join(command)} does not show the flags")
    return command[named[0] + 1 :] if named else ()


def _after(words: Sequence[str], flags: Sequence[str]) -> str:
    """Give what a flag is given, as its next word or behind `=`."""
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        name, _, value = word.partition("=")
        if name in flags:
            return value or following
    return ""


async def _mounted(client: Client, pod: Json, container: Json, file: PurePosixPath) -> str:
    """Read a file that a container has from a ConfigMap; empty where it is from elsewhere."""
    volumes = {volume.get("name"): volume.get("configMap") for volume in pod["spec"].get("volumes") or ()}
    for mount in container.get("volumeMounts") or ():
        source = volumes.get(mount.get("name"))
        if not source or PurePosixPath(mount.get("mountPath") or "") != file.parent:
            continue
        keys = {item.get("path"): item.get("key") for item in source.get("items") or ()}
        try:
            held = await client.get(CONFIG_MAPS, source.get("name") or "", NAMESPACE)
        except NotFound:
            continue
        return str((held.get("data") or {}).get(keys.get(file.name, file.name)) or "")
    return ""


def _nothing(_pattern: str, _importing: str) -> Mapping[str, str]:
    """Import nothing: files beside the Corefile are not here."""
    return {}
