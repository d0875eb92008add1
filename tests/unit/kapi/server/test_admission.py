"""New Ingresses and the default class: filled in, refused where it is not clear, and never against what was said."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.errors import Forbidden, Invalid
from kapi.resources import INGRESS_CLASSES, INGRESSES
from kapi.testing import Served

Json = dict[str, Any]

BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
NOTE = "kubernetes.io/ingress.class"


def ingress_class(name: str, *, default: bool) -> Json:
    notes = {"ingressclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "annotations": notes}, "spec": {"controller": "example.com/x"}}


def ingress(name: str, notes: dict[str, str] | None = None, **spec: Any) -> Json:
    return {"metadata": {"name": name, "annotations": notes or {}}, "spec": {"defaultBackend": BACKEND, **spec}}


async def test_the_default_class_is_given_to_new_ingresses_that_name_none(served: Served) -> None:
    before = await served.client.create(INGRESSES, ingress("before"))
    assert "ingressClassName" not in before["spec"]
    await served.client.create(INGRESS_CLASSES, ingress_class("other", default=False))
    await served.client.create(INGRESS_CLASSES, ingress_class("main", default=True))
    made = await served.client.create(INGRESSES, ingress("a"))
    named = await served.client.create(INGRESSES, ingress("b", ingressClassName="other"))
    noted = await served.client.create(INGRESSES, ingress("c", {NOTE: "old"}))
    changed = await served.client.patch(INGRESSES, "before", {"metadata": {"labels": {"a": "b"}}}, "default")
    assert made["spec"]["ingressClassName"] == "main"
    assert named["spec"]["ingressClassName"] == "other"
    assert "ingressClassName" not in noted["spec"]
    assert "ingressClassName" not in changed["spec"], "only new Ingresses get the default"


async def test_with_two_default_classes_an_ingress_must_name_one(served: Served) -> None:
    for name in ("a", "b"):
        await served.client.create(INGRESS_CLASSES, ingress_class(name, default=True))
    with pytest.raises(Forbidden, match=r"2 default IngressClasses were found \(a, b\)"):
        await served.client.create(INGRESSES, ingress("x"))
    assert (await served.client.create(INGRESSES, ingress("y", ingressClassName="b")))["spec"][
        "ingressClassName"
    ] == "b"


async def test_the_old_annotation_must_say_the_same_as_the_field(served: Served) -> None:
    with pytest.raises(Invalid, match="must match `ingressClassName` when both are specified"):
        await served.client.create(INGRESSES, ingress("x", {NOTE: "a"}, ingressClassName="b"))
    await served.client.create(INGRESSES, ingress("y", {NOTE: "a"}, ingressClassName="a"))
