"""Server-side apply: the object becomes what the manager says, as far as the manager says it. Pure.

A field is owned by those who set it. Another's field with another value is a conflict, unless the manager forces
it; a field that the manager no longer mentions, and nobody else owns, goes away. KEP-555. Owners are recorded from an
object's first apply on; fields that were set before belong to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kapi.codec.bodies import own
from kapi.patch.ownership import Path, Paths, find, from_fields, paths_of, remove, shown, to_fields
from kapi.patch.shape import Shape

Json = dict[str, Any]


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
    entries = entries_of(live)
    mine = next((e for e in entries if (e.manager, e.operation) == (manager, "Apply")), None)
    others = [entry for entry in entries if entry is not mine]
    wanted = paths_of(config, shape)
    clashes = _clashes(live, config, shape, wanted, others)
    if clashes and not force:
        raise ApplyConflict(clashes)
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
    return _with_entries(result, [entry, *others])


def created(config: Json, shape: Shape, *, manager: str, now: str) -> Json:
    """Give the new object that an apply makes where there is none."""
    entry = Entry(manager, "Apply", config["apiVersion"], paths_of(config, shape), now)
    return _with_entries(config, [entry])


def updated(old: Json, new: Json, shape: Shape, *, manager: str, now: str) -> list[Json]:
    """Give the managedFields after an ordinary write: what it changed is the writer's now, what is gone nobody's."""
    before, after = paths_of(old, shape), paths_of(new, shape)
    changed = {path for path in after if path not in before or find(old, path, shape) != find(new, path, shape)}
    entries = [_without(entry, changed | (before - after)) for entry in entries_of(old)]
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


def _clashes(live: Json, config: Json, shape: Shape, wanted: Paths, others: list[Entry]) -> tuple[Clash, ...]:
    found = []
    for entry in others:
        shared = sorted(path for path in wanted & entry.paths if path[-1] != ".")
        differ = tuple(path for path in shared if find(live, path, shape) != find(config, path, shape))
        if differ:
            found.append(Clash(entry.manager, entry.version, differ))
    return tuple(found)


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
