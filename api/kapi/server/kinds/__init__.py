"""What the server knows of each kind: one module a family, one declaration a kind. Pure.

To add a kind, declare its `Resource` in `kapi.resources` and its `Kind` here.
"""

from kapi.resources import RESOURCES
from kapi.server.kinds.kind import Kind
from kapi.server.kinds.namespaces import NAMESPACE

_SPECIAL = {kind.resource: kind for kind in (NAMESPACE,)}

KINDS: tuple[Kind, ...] = tuple(_SPECIAL.get(resource) or Kind(resource) for resource in RESOURCES)

__all__ = ["KINDS", "Kind"]
