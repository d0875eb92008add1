"""Which Ingresses are ours. Pure.

An Ingress names an IngressClass, in `spec.ingressClassName` or with the older annotation; we own the classes whose
controller is ours. One that names none is ours where the default class is. With a class name given on the command
line, only that class counts, and the annotation may say it without there being such an object.
"""

from __future__ import annotations

from collections.abc import Mapping

from kingress.objects import Ingress, IngressClass

CONTROLLER = "kproxy.io/ingress"


def owned(ingress: Ingress, classes: Mapping[str, IngressClass], only: str = "") -> bool:
    """Whether this controller serves an Ingress; `only` is the class name of the command line."""
    ours = {name for name, each in classes.items() if each.controller == CONTROLLER and only in ("", name)}
    if ingress.class_name is not None:
        return ingress.class_name in ours
    if ingress.class_annotation is not None:
        return ingress.class_annotation in ours or (only != "" and ingress.class_annotation == only)
    return any(classes[name].is_default for name in ours)
