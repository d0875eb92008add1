"""What is written reads back as the same value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kapi.decode import endpoint_slice
from kendpoints.codec import slice_json
from kendpoints.labels import TRIGGER_TIME
from kendpoints.slices import slices


def test_a_slice_reads_back_equal(build: Any) -> None:
    service = build.service(traffic_distribution="PreferSameNode", labels={"a": "b"})
    pods = [build.pod(1, hostname="h", subdomain="web"), build.pod(2, ready=False, terminating=True)]
    changes = slices(service, pods, build.nodes(a="west"), [], trigger_time="2026-01-01T00:00:00Z").changes
    for made in changes.create:
        named = replace(made, name="web-1", uid="u", resource_version="7")
        back = endpoint_slice(slice_json(named))
        assert back.annotations == {TRIGGER_TIME: "2026-01-01T00:00:00Z"}
        assert replace(back, annotations={}) == named


def test_a_new_slice_asks_for_a_generated_name(build: Any) -> None:
    (only,) = slices(build.service(), [], build.nodes(), []).changes.create
    meta = slice_json(only)["metadata"]
    assert meta["generateName"] == "web-"
    assert "name" not in meta
    assert meta["ownerReferences"][0]["blockOwnerDeletion"] is True
    assert meta["ownerReferences"][0]["controller"] is True
