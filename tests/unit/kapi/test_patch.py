"""The four patches, as tables."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi.objects import Deployment, Pod, Service
from kapi.patch import apply, json_patch, strategic
from kapi.patch.merge import merge
from kapi.patch.ownership import from_fields, paths_of, shown, to_fields
from kapi.patch.shape import Shape

Json = dict[str, Any]

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab/~", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~0", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_rfc_7386_shows(target: Any, patch: Any, expected: Any) -> None:
    assert merge(target, patch) == expected


@pytest.mark.parametrize(
    ("target", "operations", "expected"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": 1}, [{"op": "remove", "path": "/a"}], {}),
        ({"a": [1, 2]}, [{"op": "replace", "path": "/a/0", "value": 9}], {"a": [9, 2]}),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        ({"a/b": 1, "m~n": 2}, [{"op": "test", "path": "/a~1b", "value": 1}], {"a/b": 1, "m~n": 2}),
    ],
)
def test_a_json_patch_does_what_rfc_6902_shows(target: Any, operations: Any, expected: Any) -> None:
    assert json_patch.apply(target, operations) == expected


@pytest.mark.parametrize(
    "operations",
    [
        ["x"],
        [{"op": "add", "path": "b", "value": 1}],
        [{"op": "add", "path": "/b"}],
        [{"op": "remove", "path": "/nix"}],
        [{"op": "remove", "path": ""}],
        [{"op": "replace", "path": "/l/7", "value": 1}],
        [{"op": "add", "path": "/l/01", "value": 1}],
        [{"op": "move", "from": "/d", "path": "/d/e"}],
        [{"op": "dance", "path": "/a"}],
        [{"op": "add", "path": "/s/x", "value": 1}],
        [{"op": "test", "path": "/a", "value": 2}],
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused(operations: Any) -> None:
    with pytest.raises(json_patch.PatchError):
        json_patch.apply({"a": 1, "l": [1], "d": {}, "s": "text"}, operations)


@given(JSON_VALUES, JSON_VALUES)
def test_no_patch_makes_more_of_an_error_than_a_refusal(target: Any, patch: Any) -> None:
    merge(target, patch)
    if isinstance(patch, list):
        with suppress(json_patch.PatchError):
            json_patch.apply(target, patch)
    if isinstance(target, dict) and isinstance(patch, dict):
        with suppress(json_patch.PatchError):
            strategic.merge(target, {"spec": patch}, Shape(Pod))


def containers(*items: Json) -> Json:
    return {"spec": {"containers": list(items)}}


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        (
            containers({"name": "a", "image": "1"}),
            containers({"name": "b", "image": "2"}),
            containers({"name": "a", "image": "1"}, {"name": "b", "image": "2"}),
        ),
        (
            containers({"name": "a", "image": "1"}),
            containers({"name": "a", "image": "2"}),
            containers({"name": "a", "image": "2"}),
        ),
        (
            containers({"name": "a"}, {"name": "b"}),
            containers({"name": "a", "$patch": "delete"}),
            containers({"name": "b"}),
        ),
        (
            containers({"name": "a"}, {"name": "b"}),
            {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}},
            containers({"name": "b"}, {"name": "a"}),
        ),
        (containers({"name": "a"}), containers({"$patch": "replace"}, {"name": "b"}), containers({"name": "b"})),
        (
            {"metadata": {"finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b"]}},
            {"metadata": {"finalizers": ["a", "b"]}},
        ),
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b"]}},
        ),
        (
            {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}},
            {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}, "$retainKeys": ["name", "hostPath"]}]}},
            {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}},
        ),
        (
            {"metadata": {"labels": {"a": "1", "b": "2"}}},
            {"metadata": {"labels": {"a": None, "$patch": "merge"}}},
            {"metadata": {"labels": {"b": "2"}}},
        ),
        (
            {"metadata": {"labels": {"a": "1"}}},
            {"metadata": {"labels": {"b": "2", "$patch": "replace"}}},
            {"metadata": {"labels": {"b": "2"}}},
        ),
    ],
)
def test_a_strategic_patch_merges_lists_by_their_keys(before: Json, patch: Json, after: Json) -> None:
    assert strategic.merge(before, patch, Shape(Pod)) == after


def test_service_ports_are_joined_by_number_in_a_strategic_patch() -> None:
    before = {"spec": {"ports": [{"port": 80, "targetPort": 1}], "clusterIPs": ["a"]}}
    patch = {"spec": {"ports": [{"port": 80, "targetPort": 2}, {"port": 81}], "clusterIPs": ["b"]}}
    after = strategic.merge(before, patch, Shape(Service))
    assert after == {"spec": {"ports": [{"port": 80, "targetPort": 2}, {"port": 81}], "clusterIPs": ["b"]}}


def deployment(**spec: Any) -> Json:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


def applied(live: Json | None, config: Json, manager: str = "m", *, force: bool = False) -> Json:
    if live is None:
        return apply.created(config, Shape(Deployment), manager=manager, now="t")
    return apply.apply(live, config, Shape(Deployment), manager=manager, force=force, now="t")


def test_what_a_manager_no_longer_applies_goes_away() -> None:
    live = applied(None, deployment(replicas=1, paused=True))
    assert applied(live, deployment(replicas=1))["spec"] == {"replicas": 1}


def test_what_another_manager_applies_stays() -> None:
    live = applied(applied(None, deployment(replicas=1)), deployment(paused=True), "other")
    assert applied(live, deployment())["spec"] == {"paused": True}


def test_a_field_of_another_manager_is_a_conflict_unless_forced() -> None:
    live = applied(None, deployment(replicas=1), "first")
    with pytest.raises(apply.ApplyConflict) as refusal:
        applied(live, deployment(replicas=2), "second")
    assert str(refusal.value) == 'Apply failed with 1 conflict: conflict with "first" using apps/v1: .spec.replicas'
    forced = applied(live, deployment(replicas=2), "second", force=True)
    assert forced["spec"] == {"replicas": 2}
    assert [entry.manager for entry in apply.entries_of(forced)] == ["second"]


def test_the_same_value_is_shared_and_not_a_conflict() -> None:
    live = applied(applied(None, deployment(replicas=1), "first"), deployment(replicas=1), "second")
    assert {entry.manager for entry in apply.entries_of(live)} == {"first", "second"}


def test_an_ordinary_write_takes_over_what_it_changes() -> None:
    live = applied(None, deployment(replicas=1))
    changed = {**live, "spec": {"replicas": 3}}
    entries = apply.updated(live, changed, Shape(Deployment), manager="kubectl", now="t")
    assert [(e["manager"], e["operation"]) for e in entries] == [("kubectl", "Update")]


def test_applied_list_items_are_joined_by_all_their_keys() -> None:
    def with_ports(*ports: Json) -> Json:
        template = {"spec": {"containers": [{"name": "c", "ports": list(ports)}]}}
        return deployment(template=template)

    live = applied(None, with_ports({"containerPort": 53, "protocol": "UDP"}), "udp")
    both = applied(live, with_ports({"containerPort": 53, "protocol": "TCP"}), "tcp")
    ports = both["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert sorted(port["protocol"] for port in ports) == ["TCP", "UDP"]
    only_udp = applied(both, deployment(), "tcp")
    assert only_udp["spec"]["template"]["spec"]["containers"][0]["ports"] == [{"containerPort": 53, "protocol": "UDP"}]


def test_paths_survive_their_written_form() -> None:
    paths = paths_of(deployment(template={"spec": {"containers": [{"name": "c", "image": "i"}]}}), Shape(Deployment))
    assert from_fields(to_fields(paths)) == paths
    assert '.spec.template.spec.containers[name="c"].image' in {shown(path) for path in paths}
