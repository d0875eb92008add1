"""How many pods a ReplicaSet or a ReplicationController makes, and which it gives up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kapi.resources import PODS
from netnslab.workloads import values
from netnslab.workloads.actions import Create, Delete, Patch
from netnslab.workloads.replicas import decide, surplus

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def replica_set(replicas: int, **fields: Any) -> values.ReplicaSet:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}
    meta = {"name": "web", "namespace": "default", "uid": "rs", "generation": 3}
    return values.replica_set(
        {
            "metadata": {**meta, **fields.pop("meta", {})},
            "spec": spec | fields.pop("spec", {}),
            "status": fields.pop("status", {}),
        }
    )


def pod(name: str, owner: str | None = "rs", **fields: Any) -> values.Pod:
    owners = [{"kind": "ReplicaSet", "name": "web", "uid": owner, "controller": True}] if owner else []
    meta = {"name": name, "namespace": "default", "uid": name, "labels": {"app": "web"}, "ownerReferences": owners}
    ready = {"type": "Ready", "status": str(fields.pop("ready", True))}
    ready["lastTransitionTime"] = fields.pop("since", "2026-01-01T00:00:00Z")
    status = {"phase": fields.pop("phase", "Running"), "conditions": [ready]}
    status["containerStatuses"] = [{"restartCount": fields.pop("restarts", 0)}]
    spec = {"nodeName": fields.pop("node", "w1")}
    return values.pod({"metadata": {**meta, **fields}, "spec": spec, "status": status})


DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("replicas", "pods", "created", "deleted"),
    [
        (3, [], 3, 0),
        (3, [pod("a")], 2, 0),
        (1, [pod("a"), pod("b"), pod("c")], 0, 2),
        (0, [pod("a")], 0, 1),
        (2, [pod("a"), pod("b", phase="Failed")], 1, 0),
        (2, [pod("a"), pod("b", **DELETED)], 1, 0),
        (2, [pod("a"), pod("b", "somebody else")], 1, 0),
        (2000, [], 500, 0),
    ],
    ids=["none", "some", "too many", "to zero", "a failed one", "a leaving one", "a stranger's", "a great many"],
)
def test_pods_are_made_or_given_up_until_the_number_is_right(
    replicas: int, pods: list[values.Pod], created: int, deleted: int
) -> None:
    actions = decide(replica_set(replicas), pods, NOW).actions
    assert sum(a.count for a in actions if isinstance(a, Create)) == created
    assert sum(isinstance(a, Delete) for a in actions) == deleted


def test_a_pod_is_made_from_the_template_and_belongs_to_its_maker() -> None:
    (_, create) = decide(replica_set(1), [], NOW).actions
    assert isinstance(create, Create)
    meta = create.obj["metadata"]
    assert (meta["generateName"], meta["namespace"], meta["labels"]) == ("web-", "default", {"app": "web"})
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "web",
            "uid": "rs",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert create.obj["spec"] == TEMPLATE["spec"]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (pod("p"), pod("p", node="")),
        (pod("p"), pod("p", phase="Pending", ready=False)),
        (pod("p"), pod("p", ready=False)),
        (pod("p", annotations={"controller.kubernetes.io/pod-deletion-cost": "9"}), pod("p")),
        (pod("p", since="2026-01-01T00:00:00Z"), pod("p", since="2026-01-01T00:00:30Z")),
        (pod("p"), pod("p", restarts=3)),
        (pod("p", creationTimestamp="2025-01-01T00:00:00Z"), pod("p", creationTimestamp="2025-06-01T00:00:00Z")),
    ],
    ids=["not placed", "pending", "not ready", "cheap", "ready for less time", "restarted", "young"],
)
def test_the_pod_whose_loss_hurts_least_goes_first(better: values.Pod, worse: values.Pod) -> None:
    assert surplus([better, worse], 1) == [worse]
    assert surplus([worse, better], 1) == [worse]


def test_a_node_with_two_gives_one_up_first() -> None:
    pods = [pod("a", node="w1"), pod("b", node="w2"), pod("c", node="w2")]
    assert surplus(pods, 1)[0].node_name == "w2"


def test_an_orphan_that_is_selected_is_adopted_instead_of_making_one() -> None:
    actions = decide(replica_set(1), [pod("a", owner=None)], NOW).actions
    assert not any(isinstance(a, Create) for a in actions)
    adopt = actions[0]
    assert isinstance(adopt, Patch)
    assert (adopt.resource, adopt.key) == (PODS, "default/a")
    assert adopt.patch["metadata"]["ownerReferences"][0]["uid"] == "rs"
    assert adopt.patch["metadata"]["uid"] == "a"


def test_a_pod_that_is_no_longer_selected_is_released_and_replaced() -> None:
    actions = decide(replica_set(1), [pod("a", labels={"app": "debug"})], NOW).actions
    release, _, create = actions
    assert isinstance(release, Patch)
    assert release.patch["metadata"]["ownerReferences"] is None
    assert isinstance(create, Create)


def test_a_set_that_is_being_deleted_makes_adopts_and_deletes_nothing() -> None:
    leaving = replica_set(3, meta=DELETED)
    actions = decide(leaving, [pod("a", owner=None)], NOW).actions
    assert [type(a) for a in actions] == [Patch]


def test_the_status_counts_pods_and_is_written_only_when_it_changed() -> None:
    pods = [pod("a"), pod("b", ready=False), pod("c", labels={"app": "web", "extra": "1"})]
    (patch,) = decide(replica_set(3), pods, NOW).actions
    assert isinstance(patch, Patch)
    expected = {"replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": 2, "availableReplicas": 2}
    assert patch.patch["status"] == expected | {"observedGeneration": 3}
    assert patch.subresource == "status"
    assert decide(replica_set(3, status=patch.patch["status"]), pods, NOW).actions == ()


def test_a_pod_is_available_when_it_has_been_ready_for_long_enough() -> None:
    patient = replica_set(2, spec={"minReadySeconds": 70})
    decision = decide(patient, [pod("a"), pod("b", since="2025-12-31T23:00:00Z")], NOW)
    (patch,) = decision.actions
    assert isinstance(patch, Patch)
    assert (patch.patch["status"]["readyReplicas"], patch.patch["status"]["availableReplicas"]) == (2, 1)
    assert decision.again == 10


def test_a_replication_controller_selects_by_plain_labels_or_by_its_template() -> None:
    spec = {"replicas": 1, "template": TEMPLATE}
    meta = {"name": "web", "namespace": "default", "uid": "rs"}
    for selector in ({"app": "web"}, None):
        owner = values.replication_controller({"metadata": meta, "spec": {**spec, "selector": selector}})
        assert not any(isinstance(a, Create) for a in decide(owner, [pod("a")], NOW).actions)
        (_, create) = decide(owner, [], NOW).actions
        assert isinstance(create, Create)
        assert create.obj["metadata"]["ownerReferences"][0]["kind"] == "ReplicationController"
        assert create.obj["metadata"]["ownerReferences"][0]["apiVersion"] == "v1"
