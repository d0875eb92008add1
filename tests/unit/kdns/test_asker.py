"""What a pod's resolver is told to do, by its dnsPolicy and dnsConfig."""

from __future__ import annotations

from typing import Any

import pytest

from kdns.asker import asker, pod_spec

USUAL = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")
OWN = {"searches": ["corp.example."], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}


@pytest.mark.parametrize(
    ("spec", "search", "ndots", "elsewhere"),
    [
        ({}, USUAL, 5, False),
        ({"dnsConfig": OWN}, (*USUAL, "corp.example"), 2, False),
        ({"dnsPolicy": "None", "dnsConfig": OWN}, ("corp.example",), 2, False),
        ({"dnsPolicy": "None"}, (), 1, False),
        ({"dnsPolicy": "Default"}, (), 1, True),
        ({"hostNetwork": True}, (), 1, True),
        ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}, USUAL, 5, False),
    ],
)
def test_a_pod_asks_as_its_spec_says(
    spec: dict[str, Any], search: tuple[str, ...], ndots: int, elsewhere: bool
) -> None:
    found = asker(pod_spec({"spec": spec}), "shop", "cluster.local")
    assert (found.search, found.ndots, bool(found.elsewhere)) == (search, ndots, elsewhere)


def test_without_the_pod_any_of_its_namespace_is_meant() -> None:
    assert asker(None, "shop", "cluster.local").search == USUAL
