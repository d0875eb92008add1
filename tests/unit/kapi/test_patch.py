"""The four patches, as tables."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi.objects import Pod, Service
from kapi.patch import json_patch, strategic
from kapi.patch.merge import merge
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
