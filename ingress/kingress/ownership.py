"""Which Ingresses are ours. Pure.

An Ingress names an IngressClass, in `spec.ingressClassName` or with the older annotation; we own the classes whose
controller is ours. One that names none is ours where the default class is. With a class name given on the command
line, only that class counts, and the annotation may say it without there being such an object.
"""

from __future__ import annotations

from collections.abc import Mapping

from kingress.objects import Ingress, IngressClass

CONTROLLER = "kproxy.io/ingress"


def _ours(classes: Mapping[str, IngressClass], only: str) -> set[str]:
    return {name for name, each in classes.items() if each.controller == CONTROLLER and only in ("", name)}


def owned(ingress: Ingress, classes: Mapping[str, IngressClass], only: str = "") -> bool:
    """Whether this controller serves an Ingress; `only` is the class name of the command line."""
    ours = _ours(classes, only)
    if ingress.class_name is not None:
        return ingress.class_name in ours
    if ingress.class_annotation is not None:
        return ingress.class_annotation in ours or (only != "" and ingress.class_annotation == only)
    return any(classes[name].is_default for name in ours)


def why_not(ingress: Ingress, classes: Mapping[str, IngressClass], only: str = "") -> str:
    """Say why an Ingress is not `owned`."""
    name = ingress.class_name if ingress.class_name is not None else ingress.class_annotation
    if name is None:
        return f"it has no class, and {f'{only} is not' if only else 'none of ours is'} the default one"
    known = classes.get(name)
    if known is None:
        return f"it is of class {name}, and there is no such IngressClass"
    if known.controller != CONTROLLER:
        return f"it is of class {name}, which is not ours but that of {known.controller}"
    return f"it is of class {name}, and only {only} is served here"
