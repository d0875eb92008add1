"""What is filled into new objects from other objects, before they are checked: admission plug-ins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kapi.resources import INGRESS_CLASSES, INGRESSES
from kapi.server import statuses
from kapi.server.state import State

Json = dict[str, Any]
Admission = Callable[[Json], None]

DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
_CLASS_NOTE = "kubernetes.io/ingress.class"


def default_ingress_class(state: State) -> Admission:
    """Give new Ingresses that name no class the default one; refuse them (403) where several classes are the default.

    https://kubernetes.io/docs/concepts/services-networking/ingress/#default-ingress-class
    """

    def admit(obj: Json) -> None:
        spec, meta = obj.setdefault("spec", {}), obj["metadata"]
        if "ingressClassName" in spec or _CLASS_NOTE in (meta.get("annotations") or {}):
            return
        classes = [record for record in state.of(INGRESS_CLASSES).records() if _is_default(record.object)]
        if len(classes) > 1:
            names = ", ".join(sorted(record.name for record in classes))
            why = f"{len(classes)} default IngressClasses were found ({names}): name one in spec.ingressClassName"
            raise statuses.forbidden(INGRESSES, meta.get("name") or "", why)
        if classes:
            spec["ingressClassName"] = classes[0].name

    return admit


def default_service_account(obj: Json) -> None:
    """Give new Pods that name no ServiceAccount the default one."""
    spec = obj.setdefault("spec", {})
    if "serviceAccountName" not in spec:
        spec["serviceAccountName"] = spec["serviceAccount"] = "default"


def _is_default(ingress_class: Json) -> bool:
    return (ingress_class["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"
