"""Templates and their hashes."""

from __future__ import annotations

import re
from typing import Any

from netnslab.workloads.template import HASH_LABEL, template_hash, with_hash, without_hash

SPEC = {"containers": [{"name": "c", "image": "i"}]}
TEMPLATE: dict[str, Any] = {"metadata": {"labels": {"app": "web"}}, "spec": SPEC}


def test_a_hash_depends_on_the_template_and_on_nothing_else() -> None:
    again = {"spec": TEMPLATE["spec"], "metadata": {"labels": {"app": "web"}, "creationTimestamp": None}}
    changed = {**TEMPLATE, "spec": {"containers": [{"image": "j"}]}}
    assert template_hash(TEMPLATE) == template_hash(again) == template_hash(with_hash(TEMPLATE, "abc"))
    assert len({template_hash(TEMPLATE), template_hash(changed), template_hash(TEMPLATE, 1)}) == 3


def test_a_hash_is_short_and_fit_for_a_name() -> None:
    assert re.fullmatch(r"[bcdfghjklmnpqrstvwxz2456789]{10}", template_hash(TEMPLATE))


def test_the_hash_label_can_be_put_on_and_taken_off() -> None:
    labelled = with_hash(TEMPLATE, "abc")
    assert labelled["metadata"]["labels"] == {"app": "web", HASH_LABEL: "abc"}
    assert without_hash(labelled) == TEMPLATE
