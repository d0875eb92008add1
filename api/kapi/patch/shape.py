"""What a patch needs to know of a kind: which lists are merged, by which keys, and which are replaced. Pure.

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
    """

    model: type[Structure] | None = None
    key: str = ""
    keys: tuple[str, ...] = ()
    unique: bool = False

    def field(self, name: str) -> Shape:
        """Give the shape of a field; a plain one where the type does not know it."""
        return _ANY if self.model is None else _fields(self.model).get(name, _ANY)

    @property
    def item(self) -> Shape:
        """The shape of a list's items."""
        return Shape(self.model)

    def key_of(self, item: Any) -> str:
        """Give what identifies a list's item in server-side apply, as `k:{...}`; "" where its keys are incomplete."""
        if not isinstance(item, dict):
            return ""
        values = {name: item.get(name, _KEY_DEFAULTS.get(name)) for name in self.keys}
        if any(value is None for value in values.values()):
            return ""
        return "k:" + json.dumps(values, separators=(",", ":"), sort_keys=True)


_ANY = Shape()
_KEY_DEFAULTS = {"protocol": "TCP"}  # a key field with a default may be left out


@cache  # there are as many as there are models
def _fields(model: type[Structure]) -> dict[str, Shape]:
    found = {}
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        kind, _ = inner(field.annotation)
        if get_origin(kind) is list:
            kind, _ = inner(get_args(kind)[0])
        found[field.alias or name] = Shape(
            kind if isinstance(kind, type) and issubclass(kind, Structure) else None,
            str(extra.get("x-kubernetes-patch-merge-key", "")),
            tuple(str(key) for key in _listed(extra.get("x-kubernetes-list-map-keys"))),
            extra.get("x-kubernetes-list-type") == "set",
        )
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
