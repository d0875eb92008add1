"""Creating, updating, patching and deleting: versions, conflicts and Status texts."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from kapi.errors import AlreadyExists, BadRequest, Conflict, Forbidden, Invalid, NotFound, StatusError
from kapi.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from kapi.testing import Served
from kapi.transport import Request

Json = dict[str, Any]

TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
DEPLOYMENT = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}


def config(name: str = "c", **data: str) -> Json:
    return {"metadata": {"name": name}, "data": data}


def pod(name: str = "p", **spec: Any) -> Json:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]} | spec}


async def test_a_new_object_gets_its_identity_from_the_server(served: Served) -> None:
    meta = (await served.client.create(CONFIG_MAPS, config()))["metadata"]
    assert meta["namespace"] == "default"
    assert len(meta["uid"]) == 36
    assert meta["creationTimestamp"].endswith("Z")
    assert meta["resourceVersion"].isdecimal()


async def test_versions_rise_over_all_kinds(served: Served) -> None:
    first = await served.client.create(CONFIG_MAPS, config())
    second = await served.client.create(SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}})
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])


async def test_refusals_have_kubernetes_words_and_details(served: Served) -> None:
    await served.client.create(CONFIG_MAPS, config())
    with pytest.raises(AlreadyExists) as exists:
        await served.client.create(CONFIG_MAPS, config())
    assert str(exists.value) == 'configmaps "c" already exists'
    with pytest.raises(NotFound) as missing:
        await served.client.get(DEPLOYMENTS, "x", "default")
    assert str(missing.value) == 'deployments.apps "x" not found'
    assert missing.value.status["details"] == {"name": "x", "group": "apps", "kind": "deployments"}
    with pytest.raises(NotFound) as nowhere:
        await served.client.create(CONFIG_MAPS, config(), "nowhere")
    assert str(nowhere.value) == 'namespaces "nowhere" not found'


async def test_a_write_from_an_old_version_is_a_conflict(served: Served) -> None:
    old = await served.client.create(CONFIG_MAPS, config(a="1"))
    await served.client.patch(CONFIG_MAPS, "c", {"data": {"a": "2"}}, "default")
    with pytest.raises(Conflict) as refusal:
        await served.client.update(CONFIG_MAPS, {**old, "data": {"a": "3"}})
    assert str(refusal.value) == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )


async def test_a_write_that_changes_nothing_changes_nothing(served: Served) -> None:
    made = await served.client.create(DEPLOYMENTS, DEPLOYMENT)
    assert await served.client.update(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": DEPLOYMENT["spec"]}) == made
    assert await served.client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": 1}}, "default") == made


async def test_many_patches_at_once_all_arrive(served: Served) -> None:
    await served.client.create(CONFIG_MAPS, config())
    await asyncio.gather(
        *(served.client.patch(CONFIG_MAPS, "c", {"data": {f"k{i}": "v"}}, "default") for i in range(50))
    )
    assert len((await served.client.get(CONFIG_MAPS, "c", "default"))["data"]) == 50


async def test_a_callers_object_is_not_the_servers(served: Served) -> None:
    mine = config(a="1")
    made = await served.client.create(CONFIG_MAPS, mine)
    mine["data"]["a"] = "changed"
    assert made["data"] == {"a": "1"}


async def test_generation_counts_changes_of_the_spec_alone(served: Served) -> None:
    made = await served.client.create(DEPLOYMENTS, DEPLOYMENT | {"status": {"replicas": 9}})
    assert made["metadata"]["generation"] == 1
    assert "status" not in made
    labelled = await served.client.patch(DEPLOYMENTS, "d", {"metadata": {"labels": {"x": "y"}}}, "default")
    assert labelled["metadata"]["generation"] == 1
    scaled = await served.client.patch(
        DEPLOYMENTS, "d", {"spec": {"replicas": 3}, "status": {"replicas": 7}}, "default"
    )
    assert scaled["metadata"]["generation"] == 2
    assert "status" not in scaled
    told = await served.client.patch(
        DEPLOYMENTS, "d", {"spec": {"replicas": 9}, "status": {"replicas": 3}}, "default", subresource="status"
    )
    assert (told["metadata"]["generation"], told["spec"]["replicas"], told["status"]) == (2, 3, {"replicas": 3})


async def test_generated_names_begin_with_what_was_asked(served: Served) -> None:
    made = await served.client.create(CONFIG_MAPS, {"metadata": {"generateName": "x" * 70}})
    assert len(made["metadata"]["name"]) == 63


@pytest.mark.parametrize(
    ("obj", "error", "text"),
    [
        ({"metadata": {"name": "Bad_Name"}}, Invalid, 'metadata.name: Invalid value: "Bad_Name"'),
        ({"metadata": {}}, Invalid, "metadata.name: Required value: name or generateName is required"),
        ({"metadata": {"name": "a", "labels": {"a": "-"}}}, Invalid, "metadata.labels: Invalid value"),
        ({"metadata": {"name": "a", "resourceVersion": "1"}}, BadRequest, "resourceVersion should not be set"),
        ({"metadata": {"name": "a", "namespace": "b"}}, BadRequest, "namespace of the provided object does not match"),
        ({"metadata": {"name": "a"}, "data": {"a": 1}}, BadRequest, "data.a: Invalid value: 1: must be a string"),
        ({"metadata": {"name": "a"}, "data": []}, BadRequest, "data: Invalid value: []: must be an object"),
        (
            {"metadata": {"name": "a"}, "kind": "Pod"},
            BadRequest,
            'Pod in version "v1" cannot be handled as a ConfigMap',
        ),
        (
            {"metadata": {"name": "a"}, "apiVersion": "v2"},
            BadRequest,
            "the API version in the data (v2) does not match",
        ),
        ({"metadata": "x"}, BadRequest, "metadata: Invalid value"),
    ],
)
async def test_a_malformed_object_is_refused_with_its_field_named(
    served: Served, obj: Json, error: type[StatusError], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        await served.client.transport.send(Request("POST", CONFIG_MAPS.path("default"), {}, obj))
    assert [i["metadata"]["name"] for i in (await served.client.list(CONFIG_MAPS, "default")).items] == []


async def test_unknown_fields_are_refused_when_strict_and_kept_otherwise(served: Served) -> None:
    obj = pod(extra={"x": 1}) | {"odd": 1}
    with pytest.raises(BadRequest, match=r'strict decoding error: unknown field "odd", unknown field "spec[.]extra"'):
        await served.client.transport.send(Request("POST", PODS.path("default"), {"fieldValidation": "Strict"}, obj))
    made = await served.client.create(PODS, obj)
    assert (made["odd"], made["spec"]["extra"]) == (1, {"x": 1})


async def test_finalizers_hold_an_object_until_the_last_is_gone(served: Served) -> None:
    obj = config() | {"metadata": {"name": "c", "finalizers": ["example.com/a"]}}
    await served.client.create(CONFIG_MAPS, obj)
    marked = await served.client.delete(CONFIG_MAPS, "c", "default")
    assert "deletionTimestamp" in marked["metadata"]
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    await served.client.patch(CONFIG_MAPS, "c", {"metadata": {"finalizers": None}}, "default")
    with pytest.raises(NotFound):
        await served.client.get(CONFIG_MAPS, "c", "default")


async def test_a_deletion_says_which_object_it_was(served: Served) -> None:
    made = await served.client.create(CONFIG_MAPS, config())
    with pytest.raises(Conflict, match="Precondition failed: UID in precondition: other"):
        await served.client.delete(CONFIG_MAPS, "c", "default", uid="other")
    answer = await served.client.delete(CONFIG_MAPS, "c", "default")
    assert answer["status"] == "Success"
    assert answer["details"] == {"name": "c", "kind": "configmaps", "uid": made["metadata"]["uid"]}


async def test_a_running_pod_ends_gracefully_and_a_waiting_one_at_once(served: Served) -> None:
    await served.client.create(PODS, pod("waiting"))
    assert (await served.client.delete(PODS, "waiting", "default"))["kind"] == "Pod"
    assert (await served.client.list(PODS)).items == []
    await served.client.create(PODS, pod("running", nodeName="n", terminationGracePeriodSeconds=7))
    marked = await served.client.delete(PODS, "running", "default")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 7
    assert await served.client.get(PODS, "running", "default")
    await served.client.delete(PODS, "running", "default", grace_seconds=0)
    with pytest.raises(NotFound):
        await served.client.get(PODS, "running", "default")


@pytest.mark.parametrize(("asked", "granted"), [(-5, 1), (2**63 - 1, 2**31 - 1), (0, 0)])
async def test_odd_grace_periods_never_keep_a_pod_from_being_deleted(served: Served, asked: int, granted: int) -> None:
    await served.client.create(PODS, pod("odd", nodeName="n", terminationGracePeriodSeconds=asked))
    marked = await served.client.delete(PODS, "odd", "default")
    assert marked["metadata"].get("deletionGracePeriodSeconds", 0) == granted
    if granted:
        await served.client.delete(PODS, "odd", "default", grace_seconds=0)
    with pytest.raises(NotFound):
        await served.client.get(PODS, "odd", "default")


async def test_binding_a_pod_places_it_once(served: Served) -> None:
    await served.client.create(PODS, pod())
    bind = Request("POST", PODS.path("default", "p", "binding"), {}, {"target": {"name": "n1"}})
    await served.client.transport.send(bind)
    bound = await served.client.get(PODS, "p", "default")
    assert bound["spec"]["nodeName"] == "n1"
    (condition,) = bound["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    with pytest.raises(Conflict, match="already assigned"):
        await served.client.transport.send(bind)


async def test_a_scale_is_read_and_written(served: Served) -> None:
    await served.client.create(DEPLOYMENTS, DEPLOYMENT)
    path = DEPLOYMENTS.path("default", "d", "scale")
    scale = await served.client.transport.send(Request("GET", path))
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "a=b")
    patch = Request("PATCH", path, {}, {"spec": {"replicas": 5}}, "application/merge-patch+json")
    assert (await served.client.transport.send(patch))["spec"] == {"replicas": 5}
    assert (await served.client.get(DEPLOYMENTS, "d", "default"))["spec"]["replicas"] == 5


async def test_an_update_of_a_lease_says_from_which_version_it_was_made(served: Served) -> None:
    made = await served.client.create(LEASES, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}, "default")
    with pytest.raises(Invalid) as refusal:
        await served.client.update(LEASES, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "b"}})
    text = 'Lease.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for'
    assert str(refusal.value) == f"{text} an update"
    await served.client.update(LEASES, {**made, "spec": {"holderIdentity": "b"}})


async def patched(served: Served, operations: Any) -> None:
    path = CONFIG_MAPS.path("default", "c")
    await served.client.transport.send(Request("PATCH", path, {}, operations, "application/json-patch+json"))


async def test_a_json_patch_that_does_not_fit_is_refused_with_the_cause(served: Served) -> None:
    await served.client.create(CONFIG_MAPS, config(a="1"))
    for operation, why in (
        ({"op": "test", "path": "/data/a", "value": "2"}, "testing value /data/a failed"),
        ({"op": "remove", "path": "/data/b"}, "there is no 'b'"),
    ):
        with pytest.raises(Invalid, match="the server rejected our request due to an error in our request") as refusal:
            await patched(served, [operation])
        (cause,) = refusal.value.status["details"]["causes"]
        assert cause == {"reason": "UnexpectedServerResponse", "message": why}
    with pytest.raises(BadRequest, match="a JSON patch is a list of operations"):
        await patched(served, {})
    with pytest.raises(StatusError, match="maximum operations in a JSON patch is 10000, got 10001") as large:
        await patched(served, [{"op": "remove", "path": "/data/b"}] * 10_001)
    assert (large.value.status["code"], large.value.status["reason"]) == (413, "RequestEntityTooLarge")


async def apply(served: Served, manager: str, *, force: bool = False, **data: str) -> Json:
    query = {"fieldManager": manager, "force": str(force).lower()}
    request = Request("PATCH", CONFIG_MAPS.path("default", "c"), query, config(**data), "application/apply-patch+yaml")
    return await served.http.transport.send(request)


def owners(obj: Json) -> dict[str, Json]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", ())}


async def test_every_write_says_whose_the_fields_are(served: Served) -> None:
    agent = Request("POST", CONFIG_MAPS.path("default"), body=config(a="1"), agent="tool/1.0 (linux)")
    await served.server.client("tool").transport.send(agent)
    read = await served.http.get(CONFIG_MAPS, "c", "default")
    (entry,) = read["metadata"]["managedFields"]
    assert entry.pop("time") == read["metadata"]["creationTimestamp"]
    assert entry == {
        "manager": "tool",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {".": {}, "f:a": {}}},
    }
    changed = await served.http.patch(CONFIG_MAPS, "c", {"data": {"b": "1"}}, "default", manager="me")
    assert owners(changed) == {"tool": {"f:data": {".": {}, "f:a": {}}}, "me": {"f:data": {"f:b": {}}}}
    back = await served.http.update(CONFIG_MAPS, changed)
    assert back == changed, "who sends back what it has read changes nothing"


async def test_a_status_is_owned_by_itself_and_a_node_by_nobody(served: Served) -> None:
    await served.http.create(PODS, pod())
    await served.http.bind("p", "default", "n")
    told = {"status": {"phase": "Running"}}
    shown = await served.http.patch(PODS, "p", told, "default", subresource="status", manager="kubelet")
    entries = {entry["manager"]: entry for entry in shown["metadata"]["managedFields"]}
    kubelets = entries["kubelet"]
    assert (kubelets["subresource"], kubelets["fieldsV1"]) == ("status", {"f:status": {"f:phase": {}}})
    assert not any("f:nodeName" in str(entry) or "f:serviceAccountName" in str(entry) for entry in entries.values())
    applied = {"apiVersion": "v1", "kind": "Pod", **pod(nodeName="n")}
    await served.http.patch(PODS, "p", applied, "default", kind="apply", manager="me")


async def test_an_applied_configuration_in_which_a_key_comes_twice_is_refused(served: Served) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    ports = [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]
    for is_there in (False, True):
        if is_there:
            await served.http.create(SERVICES, {**service, "spec": {"ports": ports[:1]}})
        twice = {**service, "spec": {"ports": ports}}
        with pytest.raises(BadRequest) as refusal:
            await served.http.patch(SERVICES, "s", twice, "default", kind="apply", manager="me")
        assert str(refusal.value) == (
            "failed to create typed patch object (/s; /v1, Kind=Service): "
            '.spec.ports: duplicate entries for key [port=80,protocol="TCP"]'
        )


async def test_what_was_there_before_the_first_apply_has_an_owner(served: Served) -> None:
    await served.http.create(CONFIG_MAPS, config(a="1", b="1"))
    await served.http.patch(CONFIG_MAPS, "c", {"metadata": {"managedFields": [{}]}}, "default")
    with pytest.raises(Conflict, match=r'conflict with "before-first-apply" using v1: \.data\.a'):
        await apply(served, "me", a="2")
    forced = await apply(served, "me", force=True, a="2")
    assert forced["data"] == {"a": "2", "b": "1"}
    assert owners(forced) == {"me": {"f:data": {"f:a": {}}}, "before-first-apply": {"f:data": {".": {}, "f:b": {}}}}
    assert (await apply(served, "me"))["data"] == {"b": "1"}


async def test_a_client_may_write_the_record_of_owners(served: Served) -> None:
    made = await apply(served, "me", a="1")
    (entry,) = made["metadata"]["managedFields"]
    given = {"metadata": {"managedFields": [{**entry, "manager": "other"}]}}
    assert list(owners(await served.http.patch(CONFIG_MAPS, "c", given, "default"))) == ["other"]
    for nonsense in ([{"manager": "x"}], [{**entry, "fieldsV1": {"k:{": {}}}]):
        patch = {"metadata": {"managedFields": nonsense}}
        assert list(owners(await served.http.patch(CONFIG_MAPS, "c", patch, "default"))) == ["other"]
    renamed = [{"op": "replace", "path": "/metadata/managedFields/0/manager", "value": "third"}]
    assert list(owners(await served.http.patch(CONFIG_MAPS, "c", renamed, "default", kind="json"))) == ["third"]
    ended = await served.http.patch(CONFIG_MAPS, "c", {"metadata": {"managedFields": [{}]}}, "default")
    assert owners(ended) == {}


async def test_tables_and_watches_show_the_owners_and_callers_in_this_process_need_none(served: Served) -> None:
    await served.http.create(CONFIG_MAPS, config(a="1"))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = await served.http.transport.send(Request("GET", CONFIG_MAPS.path("default", "c"), accept=accept))
    assert owners(table["rows"][0]["object"])
    async with served.http.watch(CONFIG_MAPS, "default") as events:
        assert owners((await anext(events))["object"])
    assert not owners(await served.client.get(CONFIG_MAPS, "c", "default"))


async def gone(served: Served, resource: Any, name: str, namespace: str | None = "default") -> bool:
    for _ in range(200):
        try:
            await served.client.get(resource, name, namespace)
        except NotFound:
            return True
        await asyncio.sleep(0.01)
    return False


def owned(owner: Json, kind: str, api: str) -> list[Json]:
    return [{"apiVersion": api, "kind": kind, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}]


async def test_what_is_owned_goes_with_its_owner(served: Served) -> None:
    top = await served.client.create(DEPLOYMENTS, DEPLOYMENT)
    middle = DEPLOYMENT | {"metadata": {"name": "rs", "ownerReferences": owned(top, "Deployment", "apps/v1")}}
    made = await served.client.create(REPLICA_SETS, middle)
    below = pod() | {"metadata": {"name": "p", "ownerReferences": owned(made, "ReplicaSet", "apps/v1")}}
    await served.client.create(PODS, below)
    await served.client.delete(DEPLOYMENTS, "d", "default")
    assert await gone(served, PODS, "p")


async def test_orphans_lose_their_owner_and_stay(served: Served) -> None:
    top = await served.client.create(DEPLOYMENTS, DEPLOYMENT)
    obj = config() | {"metadata": {"name": "c", "ownerReferences": owned(top, "Deployment", "apps/v1")}}
    await served.client.create(CONFIG_MAPS, obj)
    delete = Request("DELETE", DEPLOYMENTS.path("default", "d"), {}, {"propagationPolicy": "Orphan"})
    await served.client.transport.send(delete)
    assert await gone(served, DEPLOYMENTS, "d")
    assert not (await served.client.get(CONFIG_MAPS, "c", "default"))["metadata"]["ownerReferences"]


async def test_a_foreground_deletion_waits_for_what_is_owned(served: Served) -> None:
    top = await served.client.create(DEPLOYMENTS, DEPLOYMENT)
    meta = {"name": "c", "ownerReferences": owned(top, "Deployment", "apps/v1"), "finalizers": ["example.com/a"]}
    await served.client.create(CONFIG_MAPS, config() | {"metadata": meta})
    delete = Request("DELETE", DEPLOYMENTS.path("default", "d"), {}, {"propagationPolicy": "Foreground"})
    await served.client.transport.send(delete)
    await asyncio.sleep(0.05)
    assert "deletionTimestamp" in (await served.client.get(CONFIG_MAPS, "c", "default"))["metadata"]
    assert await served.client.get(DEPLOYMENTS, "d", "default")
    await served.client.patch(CONFIG_MAPS, "c", {"metadata": {"finalizers": None}}, "default")
    assert await gone(served, DEPLOYMENTS, "d")


async def test_a_namespace_is_emptied_before_it_goes(served: Served) -> None:
    await served.client.create(NAMESPACES, {"metadata": {"name": "n"}})
    meta = {"name": "c", "finalizers": ["example.com/a"]}
    await served.client.create(CONFIG_MAPS, config() | {"metadata": meta}, "n")
    ending = await served.client.delete(NAMESPACES, "n")
    assert ending["status"]["phase"] == "Terminating"
    with pytest.raises(Forbidden, match="because it is being terminated") as refusal:
        await served.client.create(CONFIG_MAPS, config("late"), "n")
    assert refusal.value.status["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    await asyncio.sleep(0.05)
    assert await served.client.get(NAMESPACES, "n")
    await served.client.patch(CONFIG_MAPS, "c", {"metadata": {"finalizers": None}}, "n")
    assert await gone(served, NAMESPACES, "n", None)


async def test_what_clusters_begin_with_is_there(served: Served) -> None:
    names = {item["metadata"]["name"] for item in (await served.client.list(NAMESPACES)).items}
    assert names == {"default", "kube-node-lease", "kube-public", "kube-system"}
    with pytest.raises(Forbidden, match="this namespace may not be deleted"):
        await served.client.delete(NAMESPACES, "default")
    assert (await served.client.get(SERVICES, "kubernetes", "default"))["spec"]["clusterIP"] == "10.96.0.1"
    await served.client.create(NAMESPACES, {"metadata": {"name": "n"}})
    for _ in range(100):
        if (await served.client.list(SERVICE_ACCOUNTS, "n")).items:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the namespace has no default service account")
