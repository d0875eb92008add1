"""Server-side apply: the object becomes what the manager says, as far as the manager says it. Pure.

A field is owned by those who set it. Another's field with another value is a conflict, unless the manager forces
it; a field that the manager no longer mentions, and nobody else owns, goes away. KEP-555. Owners are recorded from an
object's first apply on; what was there before is owned by "before-first-apply", as in the released server, but for
what `kubectl apply` noted in its annotation: that `kubectl apply --server-side` takes over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kapi.codec.bodies import own
from kapi.patch.ownership import Path, Paths, find, from_fields, is_fields, paths_of, remove, shown, to_fields
from kapi.patch.shape import Shape

Json = dict[str, Any]

BEFORE = "before-first-apply"
_KUBECTL = "kubectl"  # the manager of `kubectl apply --server-side`
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of managedFields."""

    manager: str
    operation: str
    version: str
    paths: Paths
    time: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Clash:
    """Fields that another manager owns with other values."""

    manager: str
    version: str
    paths: tuple[Path, ...]


class ApplyConflict(Exception):
    """The manager does not own all the fields it sets; `clashes` says who does."""

    def __init__(self, clashes: tuple[Clash, ...]) -> None:
        self.clashes = clashes
        count = sum(len(clash.paths) for clash in clashes)
        super().__init__(f"Apply failed with {count} conflict{'s' if count > 1 else ''}: {_told(clashes)}")


def _told(clashes: tuple[Clash, ...]) -> str:
    parts = []
    for clash in clashes:
        head = f'conflict with "{clash.manager}" using {clash.version}:'
        names = [shown(path) for path in clash.paths]
        parts.append(f"{head} {names[0]}" if len(names) == 1 else "\n- ".join([head, *names]))
    return "\n".join(parts)


def apply(live: Json, config: Json, shape: Shape, *, manager: str, force: bool, now: str) -> Json:
    """Give a new version of `live`, which is not changed. Raises `ApplyConflict`."""
    entries = entries_of(live) or [Entry(BEFORE, "Update", live["apiVersion"], paths_of(live, shape), now)]
    mine = next((e for e in entries if (e.manager, e.operation) == (manager, "Apply")), None)
    others = [entry for entry in entries if entry is not mine]
    wanted = paths_of(config, shape)
    clashes = _clashes(live, config, shape, wanted, others)
    if not force:
        _refuse(_beyond(clashes, _noted(live, shape) if manager == _KUBECTL else frozenset()))
    lost = {path for clash in clashes for path in clash.paths}
    others = [_without(entry, lost) for entry in others]
    result: Json = own(_merged(live, config, shape))
    kept = wanted.union(*(entry.paths for entry in others))
    gone = (mine.paths if mine else frozenset()) - kept
    for path in sorted(gone, key=lambda path: (path[-1] != ".", len(path))):
        if not (path[-1] == "." and any(other[: len(path) - 1] == path[:-1] for other in kept)):
            remove(result, path, shape)
    time = mine.time if mine is not None and mine.paths == wanted else now
    entry = Entry(manager, "Apply", config["apiVersion"], wanted, time)
    if manager == _KUBECTL:
        _note(result, config)
    return _with_entries(result, [entry, *others])


def created(config: Json, shape: Shape, *, manager: str, now: str) -> Json:
    """Give the new object that an apply makes where there is none."""
    entry = Entry(manager, "Apply", config["apiVersion"], paths_of(config, shape), now)
    return _with_entries(config, [entry])


def updated(old: Json, new: Json, shape: Shape, *, manager: str, now: str) -> list[Json]:
    """Give the managedFields after an ordinary write: what it changed is the writer's now, what is gone nobody's.

    `new` carries the record as it was before.
    """
    before, after = paths_of(old, shape), paths_of(new, shape)
    changed = {path for path in after if path not in before or find(old, path, shape) != find(new, path, shape)}
    entries = [_without(entry, changed | (before - after)) for entry in entries_of(new)]
    mine = next((e for e in entries if (e.manager, e.operation) == (manager, "Update")), None)
    if changed:
        paths = frozenset(changed) | (mine.paths if mine else frozenset())
        entries = [e for e in entries if e is not mine] + [Entry(manager, "Update", new["apiVersion"], paths, now)]
    return _written(entries)


def entries_of(obj: Json) -> list[Entry]:
    """Read an object's managedFields."""
    return [
        Entry(
            e.get("manager") or "",
            e.get("operation") or "",
            e.get("apiVersion") or "",
            from_fields(e.get("fieldsV1")),
            e.get("time") or "",
            e.get("subresource") or "",
        )
        for e in obj["metadata"].get("managedFields") or ()
    ]


def is_record(entries: Any) -> bool:
    """Say whether what a client sent as managedFields can be one; what cannot is left aside, as by the real server."""
    return all(
        entry.get("operation") in ("Apply", "Update")
        and entry.get("manager")
        and entry.get("fieldsType") == "FieldsV1"
        and is_fields(entry.get("fieldsV1"))
        for entry in entries
    )


def _clashes(live: Json, config: Json, shape: Shape, wanted: Paths, others: list[Entry]) -> tuple[Clash, ...]:
    found = []
    for entry in others:
        shared = sorted(path for path in wanted & entry.paths if path[-1] != ".")
        differ = tuple(path for path in shared if find(live, path, shape) != find(config, path, shape))
        if differ:
            found.append(Clash(entry.manager, entry.version, differ))
    return tuple(found)


def _refuse(clashes: tuple[Clash, ...]) -> None:
    if clashes:
        raise ApplyConflict(clashes)


def _beyond(clashes: tuple[Clash, ...], allowed: Paths) -> tuple[Clash, ...]:
    """Give the clashes without what is allowed."""
    rest = (Clash(c.manager, c.version, tuple(path for path in c.paths if path not in allowed)) for c in clashes)
    return tuple(clash for clash in rest if clash.paths)


def _noted(live: Json, shape: Shape) -> Paths:
    """Give the fields that `kubectl apply` set last, by its annotation, and that still have those values."""
    try:
        last = json.loads((live["metadata"].get("annotations") or {}).get(_LAST_APPLIED) or "")
        if last["apiVersion"] != live["apiVersion"]:
            return frozenset()
        paths = paths_of(last, shape)
    except (ValueError, KeyError, TypeError, AttributeError):  # anyone can write an annotation
        return frozenset()
    return frozenset(path for path in paths if find(last, path, shape) == find(live, path, shape))


def _note(obj: Json, config: Json) -> None:
    """Keep kubectl's annotation true, where there is one, so that one can go back to applying by the client."""
    annotations = obj["metadata"].get("annotations") or {}
    if _LAST_APPLIED in annotations:
        meta = {name: value for name, value in config["metadata"].items() if name != "managedFields"}
        annotations[_LAST_APPLIED] = json.dumps({**config, "metadata": meta}, separators=(",", ":")) + "\n"


def _without(entry: Entry, paths: Paths | set[Path]) -> Entry:
    rest = entry.paths - paths
    return Entry(entry.manager, entry.operation, entry.version, rest, entry.time, entry.subresource)


def _with_entries(obj: Json, entries: list[Entry]) -> Json:
    return {**obj, "metadata": {**obj["metadata"], "managedFields": _written(entries)}}


def _written(entries: list[Entry]) -> list[Json]:
    return [
        {
            "manager": entry.manager,
            "operation": entry.operation,
            "apiVersion": entry.version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields(entry.paths),
        }
        | ({"subresource": entry.subresource} if entry.subresource else {})
        for entry in entries
        if entry.paths
    ]


def _merged(live: Any, config: Any, shape: Shape) -> Any:
    """Lay the configuration over the object: objects by field, lists by key, sets by value, all else replaced."""
    if isinstance(config, dict) and isinstance(live, dict):
        return live | {name: _merged(live.get(name), item, shape.field(name)) for name, item in config.items()}
    if not isinstance(config, list) or not isinstance(live, list):
        return config
    if shape.unique:
        return live + [item for item in config if item not in live]
    if not shape.keys or not all(shape.key_of(item) for item in (*config, *live)):
        return config
    known = {shape.key_of(item): item for item in live}
    wanted = {shape.key_of(item): item for item in config}
    rest = [item for key, item in known.items() if key not in wanted]
    return [_merged(known.get(key), item, shape.item) for key, item in wanted.items()] + rest
