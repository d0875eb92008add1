"""What a patch needs to know of a kind: what is merged, lists by which keys, and what is replaced whole. Pure.

It is read from the types in `kapi.objects`, where each list field declares it once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin

from kapi.objects.base import Structure, inner

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of one field. `model` is the type of the object, of the list's items, or None for anything else.

    `key` joins items in strategic merge patches and `keys` in server-side apply; `unique` makes a list a set.
    In server-side apply `atomic` is owned as a whole, and `is_map` has keys of people's choice instead of fields.
    """

    model: type[Structure] | None = None
    key: str = ""
    keys: tuple[str, ...] = ()
    unique: bool = False
    atomic: bool = False
    is_map: bool = False

    def field(self, name: str) -> Shape:
        """Give the shape of a field; where the type does not know it, what its name tells of it."""
        found = _fields(self.model).get(name) if self.model is not None else None
        return found or (_WHOLE if name in _ALWAYS_WHOLE else _ANY)

    @property
    def item(self) -> Shape:
        """The shape of a list's items."""
        return _of(self.model)

    def key_of(self, item: Any) -> str:
        """Give what identifies a list's item in server-side apply, as `k:{...}`; "" where its keys are incomplete."""
        if not isinstance(item, dict):
            return ""
        values = {name: item.get(name, _KEY_DEFAULTS.get(name)) for name in self.keys}
        if any(value is None for value in values.values()):
            return ""
        return "k:" + json.dumps(values, separators=(",", ":"), sort_keys=True)


_ANY, _WHOLE = Shape(), Shape(atomic=True)
# Fields that are always replaced whole, by their names in the parts of pods whose types are not spelled out here.
_ALWAYS_WHOLE = frozenset(
    {"configMapKeyRef", "secretKeyRef", "fieldRef", "resourceFieldRef", "fileKeyRef", "labelSelector"}
    | {"namespaceSelector", "requiredDuringSchedulingIgnoredDuringExecution", "nodePublishSecretRef", "secretRef"}
)
_KEY_DEFAULTS = {"protocol": "TCP"}  # a key field with a default may be left out


@cache  # there are as many as there are models
def _fields(model: type[Structure]) -> dict[str, Shape]:
    found = {}
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        kind, _ = inner(field.annotation)
        is_list, is_map = get_origin(kind) is list, get_origin(kind) is dict and get_args(kind)[1] is not Any
        if is_list:
            kind, _ = inner(get_args(kind)[0])
        part = kind if isinstance(kind, type) and issubclass(kind, Structure) else None
        found[field.alias or name] = Shape(
            part,
            str(extra.get("x-kubernetes-patch-merge-key", "")),
            tuple(str(key) for key in _listed(extra.get("x-kubernetes-list-map-keys"))),
            extra.get("x-kubernetes-list-type") == "set",
            extra.get("x-kubernetes-map-type") == "atomic" or (_of(part).atomic and not is_list),
            is_map,
        )
    return found


@cache  # there are as many as there are models
def _of(model: type[Structure] | None) -> Shape:
    """Give the shape of an object that stands for itself: a whole one, or an item of a list."""
    return Shape(model, atomic=model is not None and model.atomic)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
