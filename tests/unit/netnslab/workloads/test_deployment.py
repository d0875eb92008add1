"""What a Deployment does next, one step at a time; and that every rollout keeps its promises to its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netnslab.workloads import values
from netnslab.workloads.actions import Create, Delete, Patch, Tell
from netnslab.workloads.deployment import DESIRED, MOST, REVISION, decide
from netnslab.workloads.rolling import bounds
from netnslab.workloads.template import with_hash

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def template(image: str = "v1") -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}


def deployment(image: str = "v1", status: Any = None, annotations: Any = None, **spec: Any) -> values.Deployment:
    given = {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "template": template(image)}
    meta = {"name": "web", "namespace": "default", "uid": "d", "generation": 5, "annotations": annotations or {}}
    return values.deployment({"metadata": meta, "spec": given | spec, "status": status or {}})


def replica_set(image: str = "v1", replicas: int = 4, available: int | None = None, **fields: Any) -> values.ReplicaSet:
    """One of the Deployment's sets, with `available` of its pods running (all of them when not told)."""
    running = replicas if available is None else available
    status = {"replicas": replicas, "readyReplicas": running, "availableReplicas": running}
    owner = [{"kind": "Deployment", "name": "web", "uid": "d", "controller": True}]
    meta: dict[str, Any] = {
        "name": f"web-{image}",
        "namespace": "default",
        "uid": f"rs-{image}",
        "labels": {"app": "web"},
    }
    meta |= {"ownerReferences": owner, "creationTimestamp": f"2026-01-01T00:00:0{image[-1]}Z"}
    meta["annotations"] = {DESIRED: "4", MOST: "5", REVISION: image[-1]}
    given: dict[str, Any] = {"metadata": meta | fields.pop("meta", {}), "status": fields.pop("status", status)}
    selector = {"matchLabels": {"app": "web"}}
    spec = {"replicas": replicas, "selector": selector, "template": with_hash(template(image), image)}
    return values.replica_set(given | {"spec": spec | fields})


def steps(one: values.Deployment, *sets: values.ReplicaSet, pods: dict[str, int] | None = None) -> list[Any]:
    """The actions, without those on the status and the Events."""
    found = decide(one, sets, pods or {}, NOW).actions
    return [a for a in found if not isinstance(a, Tell) and getattr(a, "subresource", None) != "status"]


def sizes(one: values.Deployment, *sets: values.ReplicaSet, pods: dict[str, int] | None = None) -> dict[str, int]:
    """The number of replicas that sets are given, by name."""
    patches = [a for a in steps(one, *sets, pods=pods) if isinstance(a, Patch) and "spec" in a.patch]
    return {
        p.key.removeprefix("default/"): p.patch["spec"]["replicas"] for p in patches if "replicas" in p.patch["spec"]
    }


def status(one: values.Deployment, *sets: values.ReplicaSet) -> dict[str, Any]:
    (patch,) = [a for a in decide(one, sets, {}, NOW).actions if getattr(a, "subresource", None) == "status"]
    assert isinstance(patch, Patch)
    found: dict[str, Any] = patch.patch["status"]
    return found


def condition(found: dict[str, Any], kind: str) -> tuple[str, str]:
    (only,) = [c for c in found["conditions"] if c["type"] == kind]
    return only["status"], only["reason"]


def test_the_first_set_carries_hash_selector_revision_and_owner() -> None:
    (create,) = steps(deployment(annotations={"note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"}))
    assert isinstance(create, Create)
    obj = create.obj
    name = obj["metadata"]["labels"]["pod-template-hash"]
    assert obj["metadata"]["name"] == f"web-{name}"
    assert obj["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": name}
    assert obj["spec"]["template"]["metadata"]["labels"] == {"app": "web", "pod-template-hash": name}
    assert obj["metadata"]["annotations"] == {"note": "x", REVISION: "1", DESIRED: "4", MOST: "5"}
    assert obj["spec"]["replicas"] == 4
    assert obj["metadata"]["ownerReferences"][0]["uid"] == "d"


def test_a_taken_name_is_a_collision_and_makes_another_name() -> None:
    (create,) = steps(deployment())
    taken = {f"default/{create.obj['metadata']['name']}"}
    patch = decide(deployment(), [], {}, NOW, taken=taken).actions[0]
    assert isinstance(patch, Patch)
    assert patch.patch == {"status": {"collisionCount": 1}}
    again = decide(deployment(status=patch.patch["status"]), [], {}, NOW, taken=taken).actions[0]
    assert isinstance(again, Create)
    assert again.obj["metadata"]["name"] != create.obj["metadata"]["name"]


def test_a_changed_template_starts_a_new_set_within_the_surge() -> None:
    (create,) = steps(deployment("v2"), replica_set("v1"))
    assert create.obj["spec"]["replicas"] == 1
    assert create.obj["metadata"]["annotations"][REVISION] == "2"


@pytest.mark.parametrize(
    ("spec", "old", "new", "expected"),
    [
        ({}, (4, 4), (1, 0), {"web-v1": 3}),
        ({}, (3, 3), (1, 1), {"web-v1": 2, "web-v2": 2}),
        ({}, (0, 0), (4, 4), {}),
        ({"maxSurge": 0, "maxUnavailable": 1}, (4, 4), (0, 0), {"web-v1": 3}),
        ({"maxSurge": 2, "maxUnavailable": 0}, (4, 4), (2, 0), {}),
        ({"maxSurge": 2, "maxUnavailable": 0}, (4, 4), (2, 2), {"web-v1": 2}),
        ({"maxSurge": "100%", "maxUnavailable": 0}, (4, 4), (4, 4), {"web-v1": 0}),
        ({"maxSurge": 0, "maxUnavailable": 0}, (4, 4), (0, 0), {"web-v1": 3}),
    ],
    ids=str,
)
def test_a_rolling_update_keeps_within_surge_and_unavailability(
    spec: dict[str, Any], old: tuple[int, int], new: tuple[int, int], expected: dict[str, int]
) -> None:
    one = deployment("v2", strategy={"type": "RollingUpdate", "rollingUpdate": spec}, annotations={REVISION: "2"})
    most = str(bounds(one)[0])
    marks = {"annotations": {DESIRED: "4", MOST: most, REVISION: "1"}}
    marks_of_new = {"annotations": {DESIRED: "4", MOST: most, REVISION: "2"}}
    sets = [replica_set("v1", *old, meta=marks), replica_set("v2", *new, meta=marks_of_new)]
    assert sizes(one, *sets) == expected


def test_old_pods_that_do_not_work_go_first() -> None:
    one = deployment("v3", strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    broken, sound = replica_set("v2", 2, 0), replica_set("v1", 4, 4)
    assert sizes(one, sound, broken, replica_set("v3", 0))["web-v2"] == 0
    assert "web-v1" not in sizes(one, sound, broken, replica_set("v3", 0))


def test_recreate_waits_for_the_end_of_every_old_pod() -> None:
    one = deployment("v2", strategy={"type": "Recreate"})
    assert sizes(one, replica_set("v1"), replica_set("v2", 0), pods={"rs-v1": 4}) == {"web-v1": 0}
    assert sizes(one, replica_set("v1", 0), replica_set("v2", 0), pods={"rs-v1": 1}) == {}
    assert sizes(one, replica_set("v1", 0), replica_set("v2", 0)) == {"web-v2": 4}


def test_scaling_in_the_middle_of_a_rollout_gives_each_set_its_share() -> None:
    one = deployment("v2", replicas=8)
    assert sizes(one, replica_set("v1", 3), replica_set("v2", 2)) == {"web-v1": 6, "web-v2": 4}


@pytest.mark.parametrize("replicas", [0, 1, 9])
def test_scaling_at_rest_scales_the_one_set(replicas: int) -> None:
    assert sizes(deployment(replicas=replicas), replica_set()) == {"web-v1": replicas}


def test_a_paused_deployment_scales_and_rolls_nothing_out() -> None:
    assert steps(deployment("v2", paused=True), replica_set("v1")) == []
    assert sizes(deployment("v2", paused=True, replicas=6), replica_set("v1")) == {"web-v1": 6}
    assert condition(status(deployment("v2", paused=True), replica_set()), "Progressing")[1] == "DeploymentPaused"


def test_an_undone_rollout_gets_the_next_revision_of_the_old_set() -> None:
    found = steps(deployment("v1"), replica_set("v1", 0), replica_set("v2"))
    revisions = [a.patch["metadata"]["annotations"].get(REVISION) for a in found if "metadata" in a.patch]
    assert revisions[:2] == ["3", "3"]


def test_sets_beyond_the_history_are_deleted_when_the_rollout_is_over() -> None:
    old = [replica_set(f"v{n}", 0) for n in range(1, 5)]
    one = deployment("v5", revisionHistoryLimit=2)
    assert [a.key for a in steps(one, *old, replica_set("v5")) if isinstance(a, Delete)] == [
        "default/web-v1",
        "default/web-v2",
    ]
    assert not [a for a in steps(one, *old, replica_set("v5", 4, 2)) if isinstance(a, Delete)]


def test_an_orphaned_set_is_adopted() -> None:
    orphan = replica_set(meta={"ownerReferences": []})
    adopt = steps(deployment(), orphan)[0]
    assert adopt.patch["metadata"]["ownerReferences"][0]["uid"] == "d"
    assert not [a for a in steps(deployment(), orphan) if isinstance(a, Create)]


@pytest.mark.parametrize(
    ("known", "available", "expected"),
    [
        ({}, 4, ("True", "NewReplicaSetAvailable")),
        ({}, 0, ("True", "NewReplicaSetCreated")),
        ({"reason": "NewReplicaSetCreated"}, 2, ("True", "ReplicaSetUpdated")),
        ({"reason": "ReplicaSetUpdated"}, 4, ("True", "NewReplicaSetAvailable")),
        ({"reason": "NewReplicaSetAvailable", "message": '"web-v1"'}, 2, ("True", "NewReplicaSetAvailable")),
        ({"reason": "NewReplicaSetAvailable", "message": '"web-v0"'}, 2, ("True", "NewReplicaSetCreated")),
        ({"reason": "ProgressDeadlineExceeded", "status": "False"}, 4, ("True", "NewReplicaSetAvailable")),
    ],
    ids=str,
)
def test_progressing_tells_how_far_the_rollout_is(
    known: dict[str, str], available: int, expected: tuple[str, str]
) -> None:
    before = [{"type": "Progressing", "status": "True", **known}] if known else []
    found = status(deployment(status={"conditions": before}), replica_set(available=available))
    assert condition(found, "Progressing") == expected


def test_a_rollout_that_stands_still_for_too_long_has_failed() -> None:
    def known(updated: str) -> dict[str, Any]:
        progressing = {
            "type": "Progressing",
            "status": "True",
            "reason": "ReplicaSetUpdated",
            "lastUpdateTime": updated,
        }
        return {"conditions": [progressing], "replicas": 4, "updatedReplicas": 4}

    late = deployment(status=known("2026-01-01T00:00:00Z"), progressDeadlineSeconds=60)
    assert condition(status(late, replica_set(available=0)), "Progressing") == ("False", "ProgressDeadlineExceeded")
    early = deployment(status=known("2026-01-01T00:00:30Z"), progressDeadlineSeconds=60)
    assert decide(early, [replica_set(available=0)], {}, NOW).again == 30


@pytest.mark.parametrize(("available", "expected"), [(4, "True"), (3, "True"), (2, "False")])
def test_available_needs_all_but_the_unavailable_ones(available: int, expected: str) -> None:
    assert condition(status(deployment(), replica_set(available=available)), "Available")[0] == expected


def test_the_status_counts_all_sets_and_is_not_written_twice() -> None:
    found = status(deployment("v2"), replica_set("v1", 2), replica_set("v2", 3, 1))
    assert {name: found[name] for name in found if name != "conditions"} == {
        "observedGeneration": 5,
        "replicas": 5,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "unavailableReplicas": 2,
    }
    done = deployment(status=status(deployment(), replica_set()), annotations={REVISION: "1"})
    assert decide(done, [replica_set()], {}, NOW).actions == ()


def test_a_deployment_that_is_being_deleted_only_counts() -> None:
    leaving = deployment("v2")
    leaving = replace(leaving, meta=replace(leaving.meta, terminating=True))
    assert steps(leaving, replica_set("v1")) == []


@given(
    st.integers(0, 12),
    st.integers(0, 5) | st.sampled_from(["25%", "50%", "100%"]),
    st.integers(0, 5) | st.sampled_from(["0%", "25%", "100%"]),
    st.integers(0, 12),
    st.randoms(use_true_random=False),
)
def test_every_rolling_update_ends_and_keeps_its_promises(
    replicas: int, surge: Any, unavailable: Any, started: int, random: Any
) -> None:
    """From any number of old pods; new pods become available in random order between the steps."""
    strategy = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    one = deployment("v2", replicas=replicas, strategy=strategy, annotations={REVISION: "2"})
    most, fewest = bounds(one)
    replicas_of, available_of = {"v1": started, "v2": 0}, {"v1": started, "v2": 0}
    for _ in range(200):
        marks = {DESIRED: str(replicas), MOST: str(most)}
        sets = [
            replica_set(v, replicas_of[v], available_of[v], meta={"annotations": {**marks, REVISION: v[-1]}})
            for v in ("v1", "v2")
        ]
        changed = sizes(one, *sets)
        for name, size in changed.items():
            replicas_of[name[-2:]] = size
            available_of[name[-2:]] = min(available_of[name[-2:]], size)
        if changed:
            assert sum(replicas_of.values()) <= max(most, started)
            assert sum(available_of.values()) >= min(fewest, started)
        elif available_of == replicas_of:
            break
        available_of["v2"] = random.randint(available_of["v2"], replicas_of["v2"])
    assert replicas_of == {"v1": 0, "v2": replicas}
