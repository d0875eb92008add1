"""The cluster as a folder of manifests: YAML or JSON files, watched for changes.

A file is taken whole or not at all. One that somebody has open for writing is left until it is closed; one that cannot
be read keeps what it said before, is named in the log, and hides no other. Files of a folder's own folders, hidden
files, and names that do not end in .yaml, .yml or .json are passed over.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from kapi.errors import ApiError, DecodeError
from kapi.feed import Feed, identified
from kapi.inotify import Folder

Json = dict[str, Any]
_Key = tuple[str, str, str]  # kind, namespace, name
Stamp = tuple[int, int, int]  # inode, time of the last change in nanoseconds, bytes

log = logging.getLogger(__name__)

_SUFFIXES = {".yaml", ".yml", ".json"}
_LOOK_SECONDS = 1.0  # for file systems that tell nothing of changes, and for files that were being written
_GATHER_SECONDS = 0.02  # files that are written together are taken together


class ManifestsError(ApiError):
    """The folder itself cannot be read."""


class BeingWritten(Exception):
    """A file that somebody is writing at this moment."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a file said when it was last read; `problem` is why its present contents were not taken."""

    stamp: Stamp
    objects: tuple[Json, ...] = ()
    problem: str = ""


class Manifests(Feed):
    """See `kapi.source.Source`. Raises ManifestsError from `run` where the folder is not there at the start."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._files: dict[str, _Taken] = {}
        self._since: dict[_Key, str] = {}  # when each object's file was written, when it was first seen

    async def run(self) -> None:
        """See `Source.run`."""
        if not self._folder.is_dir():
            raise ManifestsError(f"{self._folder} is no folder: --manifests names a folder of .yaml and .json files")
        with Folder(self._folder) as folder:
            while True:
                folder.changed.clear()
                self._look()
                with suppress(TimeoutError):
                    await asyncio.wait_for(folder.changed.wait(), _LOOK_SECONDS)
                    await asyncio.sleep(_GATHER_SECONDS)

    def _look(self) -> None:
        """Read the files that have changed; nothing begins while one is still being written for the first time."""
        try:
            paths = sorted(p for p in self._folder.iterdir() if p.suffix in _SUFFIXES and not p.name.startswith("."))
        except OSError as error:
            log.warning("%s cannot be listed, what was known stays: %s", self._folder, error)
            return
        before, unfinished = dict(self._files), False
        for path in paths:
            try:
                self._read(path)
            except BeingWritten:
                unfinished |= path.name not in self._files
        for name in self._files.keys() - {path.name for path in paths}:
            del self._files[name]
        if (self._files != before or not self.complete) and not (unfinished and not self.complete):
            self.replace(self._present())

    def _read(self, path: Path) -> None:
        """Read one file, unless it is as it was."""
        known = self._files.get(path.name)
        try:
            stamp = stamp_of(path.stat())
            if known is not None and known.stamp == stamp:
                return
            stamp, text = read_whole(path)
            taken = _Taken(stamp, tuple(objects(text, path.suffix)))
        except FileNotFoundError:
            return  # it went while we looked
        except (OSError, UnicodeDecodeError, DecodeError) as error:
            taken = _Taken(stamp_or_none(path), known.objects if known else (), str(error))
            log.warning("%s is not taken%s: %s", path, "; what it said before stays" if known else "", error)
        self._files[path.name] = taken

    def _present(self) -> list[Json]:
        """Put all files together; of two objects with the same name, the one of the first file counts."""
        found: dict[_Key, tuple[str, Json]] = {}
        since: dict[_Key, str] = {}
        for name, taken in sorted(self._files.items()):
            written = datetime.fromtimestamp(taken.stamp[1] // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for obj in taken.objects:
                meta = obj["metadata"]
                key = (obj["kind"], meta.get("namespace", ""), meta["name"])
                first, _ = found.setdefault(key, (name, obj))
                if first != name:
                    log.warning("%s %s/%s of %s is left out: %s has it, too", *key, name, first)
                since.setdefault(key, self._since.get(key, written))
        self._since = since
        return [_aged(obj, since[key]) for key, (_, obj) in found.items()]


def _aged(obj: Json, since: str) -> Json:
    """Give an object with an age: of two that ask for one thing, the elder has it."""
    meta = obj["metadata"]
    return obj if meta.get("creationTimestamp") else {**obj, "metadata": {**meta, "creationTimestamp": since}}


def stamp_of(status: os.stat_result) -> Stamp:
    """Give what changes whenever a file does."""
    return status.st_ino, status.st_mtime_ns, status.st_size


def stamp_or_none(path: Path) -> Stamp:
    """Give a file's stamp, or one that no file has."""
    try:
        return stamp_of(path.stat())
    except OSError:
        return (0, 0, -1)


def read_whole(path: Path) -> tuple[Stamp, str]:
    """Read a file that nobody is writing. Raises BeingWritten, OSError or UnicodeDecodeError."""
    with path.open("rb") as opened:
        before = stamp_of(os.fstat(opened.fileno()))
        if _has_writer(opened.fileno()):
            raise BeingWritten(path)
        text = opened.read()
        if stamp_of(os.fstat(opened.fileno())) != before or _has_writer(opened.fileno()):
            raise BeingWritten(path)
    return before, text.decode()


def _has_writer(fd: int) -> bool:
    """Ask for a read lease, which the kernel gives only while nobody has the file open for writing; see fcntl(2).

    Where leases cannot be had (some file systems, somebody else's file), what is left is that the file did not change
    while it was read.
    """
    fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # a lease that is broken is told by a signal: one that is ignored
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C loader where there is one
    """YAML as Kubernetes reads it: a time is a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def objects(text: str, suffix: str) -> Iterator[Json]:
    """Give the objects of a manifest, those inside Lists too. Raises DecodeError, saying which document is wrong."""
    try:
        documents = [json.loads(text)] if suffix == ".json" else list(yaml.load_all(text, Loader=_Loader))
    except (yaml.YAMLError, json.JSONDecodeError, RecursionError) as error:
        raise DecodeError(f"not {'JSON' if suffix == '.json' else 'YAML'}: {' '.join(str(error).split())}") from error
    for number, document in enumerate((d for d in documents if d is not None), 1):
        yield from _listed(document, f"document {number}")


def _listed(document: Any, where: str) -> Iterator[Json]:
    if not isinstance(document, dict):
        raise DecodeError(f"{where}: not an object")
    if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        for number, item in enumerate(document["items"], 1):
            yield from _listed(item, f"{where}, item {number}")
        return
    try:
        yield identified(document)[1]
    except DecodeError as error:
        raise DecodeError(f"{where}: {error}") from error
