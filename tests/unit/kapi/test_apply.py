"""Who owns which fields, and what server-side apply makes of it, as tables.

Whether the API agrees is shown against a released server: `tests/cluster/released/test_owners.py`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi.codec.owned import pack, unpack
from kapi.objects import Deployment, Pod, Service
from kapi.patch import owners
from kapi.patch.apply import Applied, ApplyConflict
from kapi.patch.difference import difference_of, mentioned
from kapi.patch.duplicates import duplicates
from kapi.patch.owners import Owner, Owners
from kapi.patch.ownership import difference, intersection, paths, shown, union
from kapi.patch.shape import Shape

Json = dict[str, Any]

FIELDS: st.SearchStrategy[Json] = st.recursive(
    st.just({}),
    lambda below: st.dictionaries(st.sampled_from([".", "f:a", "f:b", 'k:{"n":1}', "v:1"]), below, max_size=4).map(
        lambda node: {step: {} if step == "." else inner for step, inner in node.items()}
    ),
    max_leaves=12,
)


def closed(node: Json) -> Json:
    return {step: {} if below.keys() == {"."} else closed(below) for step, below in node.items()}


SETS = FIELDS.map(closed).map(lambda node: {step: below for step, below in node.items() if step != "."})


@given(SETS, SETS)
def test_sets_of_fields_are_sets_of_paths(one: Json, other: Json) -> None:
    mine, theirs = set(paths(one)), set(paths(other))
    assert set(paths(union(one, other))) == mine | theirs
    assert set(paths(intersection(one, other))) == mine & theirs
    assert set(paths(difference(one, other))) == mine - theirs


def by(manager: str, operation: str = "Update", time: str = "t", fields: Json | None = None) -> Owner:
    return Owner(manager, operation, "apps/v1", time, fields or {})


def deployment(**spec: Any) -> Json:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


def applied(live: tuple[Json, Owners], config: Json, manager: str, *, force: bool = False) -> tuple[Json, Owners]:
    return Applied.of(config, by(manager, "Apply"), Shape(Deployment), "rest").to(*live, force=force)


def made(config: Json, manager: str) -> tuple[Json, Owners]:
    return config, Applied.of(config, by(manager, "Apply"), Shape(Deployment), "rest").created()


def test_what_a_manager_no_longer_applies_goes_away() -> None:
    obj, _ = applied(made(deployment(replicas=1, paused=True), "m"), deployment(replicas=1), "m")
    assert obj["spec"] == {"replicas": 1}


def test_what_another_manager_applies_stays() -> None:
    both = applied(made(deployment(replicas=1), "m"), deployment(paused=True), "other")
    obj, _ = applied(both, deployment(), "m")
    assert obj["spec"] == {"paused": True}


def test_a_field_of_another_manager_is_a_conflict_unless_forced() -> None:
    live = made(deployment(replicas=1), "first")
    with pytest.raises(ApplyConflict) as refusal:
        applied(live, deployment(replicas=2), "second")
    assert str(refusal.value) == 'Apply failed with 1 conflict: conflict with "first": .spec.replicas'
    obj, record = applied(live, deployment(replicas=2), "second", force=True)
    assert obj["spec"] == {"replicas": 2}
    assert [owner.manager for owner in record] == ["second"]


def test_several_conflicts_are_told_by_manager() -> None:
    obj = deployment(replicas=1, paused=True)
    record = (
        by("b", fields={"f:spec": {"f:paused": {}}}),
        by("a", fields={"f:spec": {"f:replicas": {}}})._replace(subresource="scale"),
    )
    with pytest.raises(ApplyConflict) as refusal:
        applied((obj, record), deployment(replicas=2, paused=False), "m")
    assert str(refusal.value).splitlines() == [
        'Apply failed with 2 conflicts: conflicts with "a" with subresource "scale" using apps/v1:',
        "- .spec.replicas",
        'conflicts with "b" using apps/v1:',
        "- .spec.paused",
    ]


def test_the_same_value_is_shared_and_not_a_conflict() -> None:
    _, record = applied(made(deployment(replicas=1), "first"), deployment(replicas=1), "second")
    assert {owner.manager for owner in record} == {"first", "second"}


def test_an_object_without_a_record_belonged_to_somebody_before() -> None:
    _, record = applied((deployment(replicas=1, paused=True), ()), deployment(replicas=1), "m")
    assert {owner.manager: owner.fields for owner in record} == {
        "m": {"f:spec": {"f:replicas": {}}},
        "before-first-apply": {"f:spec": {"f:replicas": {}, "f:paused": {}}},
    }


def test_applied_list_items_are_joined_by_all_their_keys_and_keep_their_order() -> None:
    def with_ports(*ports: Json) -> Json:
        return deployment(template={"spec": {"containers": [{"name": "c", "ports": list(ports)}]}})

    def ports_of(obj: Json) -> list[Json]:
        found: list[Json] = obj["spec"]["template"]["spec"]["containers"][0]["ports"]
        return found

    live = made(with_ports({"containerPort": 53, "protocol": "UDP"}), "udp")
    both = applied(live, with_ports({"containerPort": 53, "protocol": "TCP"}), "tcp")
    assert [port["protocol"] for port in ports_of(both[0])] == ["UDP", "TCP"]
    only_udp, _ = applied(both, deployment(), "tcp")
    assert ports_of(only_udp) == [{"containerPort": 53, "protocol": "UDP"}]


def with_env(*values: str) -> Json:
    env = [{"name": name, "value": value} for name, value in (text.split("=", 1) for text in values)]
    return deployment(template={"spec": {"containers": [{"name": "c", "env": env}]}})


def env_of(obj: Json) -> list[str]:
    return [f"{one['name']}={one['value']}" for one in obj["spec"]["template"]["spec"]["containers"][0]["env"]]


def env_owned(record: Owners) -> Json:
    found = {}
    for owner in record:
        (container,) = owner.fields["f:spec"]["f:template"]["f:spec"]["f:containers"].values()
        found[owner.manager] = container.get("f:env")
    return found


WHOLE: Json = {".": {}, "f:name": {}, "f:value": {}}
A, B, X = (f'k:{{"name":"{name}"}}' for name in "ABX")


def test_items_that_share_a_key_stay_until_a_manager_sets_that_key() -> None:
    obj = with_env("A=1", "X=x", "A=$(A)2")
    live = obj, owners.written((), by("k"), difference_of({}, obj, Shape(Deployment), "rest"))
    assert env_owned(live[1]) == {"k": {".": {}, A: {}, X: WHOLE}}
    beside = applied(live, with_env("B=b"), "m")
    assert env_of(beside[0]) == ["A=1", "X=x", "A=$(A)2", "B=b"]
    assert env_owned(beside[1]) == {"m": {B: WHOLE}, "k": {".": {}, A: {}, X: WHOLE}}
    with pytest.raises(ApplyConflict, match=r'containers\[name="c"\]\.env\[name="A"\]'):
        applied(live, with_env("A=3"), "m")
    forced = applied(live, with_env("A=3"), "m", force=True)
    assert env_of(forced[0]) == ["A=3", "X=x"]
    assert env_owned(forced[1]) == {"m": {A: WHOLE}, "k": {".": {}, X: WHOLE}}
    assert env_of(applied(forced, with_env(), "m")[0]) == ["X=x"]


def test_items_that_share_a_key_are_owned_together() -> None:
    one, other, single = with_env("A=1", "A=2"), with_env("A=1", "A=9"), with_env("A=1")
    record = owners.written((), by("k"), difference_of({}, one, Shape(Deployment), "rest"))
    record = owners.written(record, by("k2"), difference_of(one, other, Shape(Deployment), "rest"))
    assert env_owned(record) == {"k": {}, "k2": {A: {}}}
    record = owners.written(record, by("k3"), difference_of(other, single, Shape(Deployment), "rest"))
    assert env_owned(record) == {"k": {}, "k3": {A: WHOLE}}
    record = owners.written(record, by("k4"), difference_of(single, one, Shape(Deployment), "rest"))
    assert env_owned(record) == {"k": {}, "k4": {A: {}}}


def test_a_configuration_in_which_a_key_comes_twice_is_told_of() -> None:
    ports = [{"port": 80, "name": name} for name in "abc"]
    config = {"metadata": {"finalizers": ["a/b", "a/b"]}, "spec": {"ports": [*ports, {"port": 81}]}}
    assert list(duplicates(config, Shape(Service))) == [
        '.metadata.finalizers: duplicate entries for key [="a/b"]',
        *['.spec.ports: duplicate entries for key [port=80,protocol="TCP"]'] * 2,
    ]
    assert list(duplicates(with_env("A=1", "A=2"), Shape(Deployment))) == [
        '.spec.template.spec.containers[name="c"].env: duplicate entries for key [name="A"]'
    ]


def test_a_writer_owns_what_it_brought_down_to_the_keys_of_lists_and_maps() -> None:
    ports = [{"port": 80, "protocol": "TCP"}]
    service = {
        "metadata": {"name": "s", "uid": "u", "labels": {"a": "b"}},
        "spec": {"ports": ports, "selector": {"a": "b"}},
    }
    assert difference_of({}, service, Shape(Service), "rest").added == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {
            "f:ports": {".": {}, 'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:protocol": {}}},
            "f:selector": {},
        },
    }
    assert mentioned(service, Shape(Service), "rest")["f:metadata"] == {"f:labels": {"f:a": {}}}


def test_a_write_takes_what_it_changed_and_nobody_keeps_what_is_gone() -> None:
    old = {"metadata": {"labels": {"a": "1", "b": "1", "c": "1"}}}
    new = {"metadata": {"labels": {"a": "2", "b": "1"}}}
    record = owners.written((), by("first"), difference_of({}, old, Shape(Pod), "rest"))
    record = owners.written(record, by("second"), difference_of(old, new, Shape(Pod), "rest"))
    assert {owner.manager: owner.fields["f:metadata"]["f:labels"] for owner in record} == {
        "first": {".": {}, "f:b": {}},
        "second": {"f:a": {}},
    }
    nothing: Json = {"metadata": {}}
    assert owners.written(record, by("third"), difference_of(new, nothing, Shape(Pod), "rest")) == ()


def test_the_oldest_of_too_many_writers_become_one() -> None:
    record: Owners = ()
    for number in range(12):
        found = difference_of({}, {"metadata": {"labels": {f"l{number}": "1"}}}, Shape(Pod), "rest")
        record = owners.written(record, by(f"m{number:02}", time=f"t{number:02}"), found)
    assert [owner.manager for owner in record] == ["ancient-changes", *(f"m{number:02}" for number in range(3, 12))]
    assert set(record[0].fields["f:metadata"]["f:labels"]) == {"f:l0", "f:l1", "f:l2"}
    assert record[0].time == "t02"


def test_a_record_survives_being_packed_and_is_short() -> None:
    pod = {
        "metadata": {},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]},
    }
    entries = owners.shown(owners.written((), by("kubelet"), difference_of({}, pod, Shape(Pod), "rest")))
    assert json.loads(unpack(pack(entries))) == entries
    assert len(pack(entries)) < len(json.dumps(entries)) / 3


def test_paths_are_written_for_people() -> None:
    obj = deployment(template={"spec": {"containers": [{"name": "c", "image": "i"}]}})
    told = {shown(path) for path in paths(mentioned(obj, Shape(Deployment), "rest"))}
    assert told == {f'.spec.template.spec.containers[name="c"]{rest}' for rest in ("", ".image", ".name")}
