from __future__ import annotations

import pytest

from kingress.objects import Ingress, IngressClass
from kingress.ownership import CONTROLLER, owned, why_not

OURS = IngressClass("ours", CONTROLLER)
OTHER = IngressClass("other", "example.com/ingress")
DEFAULT = IngressClass("std", CONTROLLER, is_default=True)
THEIR_DEFAULT = IngressClass("theirs", "example.com/ingress", is_default=True)


@pytest.mark.parametrize(
    ("name", "annotation", "classes", "only", "expected"),
    [
        ("ours", None, (OURS, OTHER), "", True),
        ("other", None, (OURS, OTHER), "", False),
        ("unknown", None, (OURS, OTHER), "", False),
        ("unknown", None, (OURS, OTHER), "unknown", False),
        (None, None, (OURS, OTHER), "", False),
        (None, None, (OURS, DEFAULT), "", True),
        (None, None, (OURS, THEIR_DEFAULT), "", False),
        (None, "ours", (OURS,), "", True),
        (None, "other", (OURS, OTHER), "", False),
        (None, "kproxy", (), "", False),
        (None, "kproxy", (), "kproxy", True),
        ("std", None, (OURS, DEFAULT), "ours", False),
        ("ours", None, (OURS, DEFAULT), "ours", True),
        (None, None, (OURS, DEFAULT), "ours", False),
        ("other", "ours", (OURS, OTHER), "", False),
    ],
)
def test_an_ingress_belongs_to_the_controller_of_its_class(
    name: str | None, annotation: str | None, classes: tuple[IngressClass, ...], only: str, *, expected: bool
) -> None:
    each = Ingress("shop", "web", class_name=name, class_annotation=annotation)
    assert owned(each, {known.name: known for known in classes}, only) is expected


@pytest.mark.parametrize(
    ("name", "annotation", "only", "why"),
    [
        ("other", None, "", "it is of class other, which is not ours but that of example.com/ingress"),
        (None, "other", "", "it is of class other, which is not ours but that of example.com/ingress"),
        ("nobody", None, "", "it is of class nobody, and there is no such IngressClass"),
        ("ours", None, "std", "it is of class ours, and only std is served here"),
        (None, None, "", "it has no class, and none of ours is the default one"),
        (None, None, "ours", "it has no class, and ours is not the default one"),
    ],
)
def test_why_an_ingress_is_not_ours_is_said(name: str | None, annotation: str | None, only: str, why: str) -> None:
    each = Ingress("shop", "web", class_name=name, class_annotation=annotation)
    classes = {known.name: known for known in (OURS, OTHER)}
    assert not owned(each, classes, only)
    assert why_not(each, classes, only) == why
