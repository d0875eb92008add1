from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kapi.cache import Cache
from kapi.client import Client
from kapi.decode import service
from kapi.errors import NotFound
from kapi.events import Recorder
from kapi.resources import (
    CONFIG_MAPS,
    EVENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from kapi.server import ApiServer
from kapi.source import ApiSource
from kapi.store.memory import MemoryStore
from netnslab import topology
from netnslab.errors import LabError
from netnslab.kubelet.kubelet import Kubelet, same
from netnslab.kubelet.node import Machine
from netnslab.kubelet.pod import PodWorker
from netnslab.kubelet.sandbox import PodNetwork
from netnslab.kubelet.surroundings import Surroundings
from netnslab.kubelet.volumespec import SourceKind
from netnslab.network import network
from netnslab.processes import Processes

Json = dict[str, Any]
Make = Callable[[Json], PodWorker]

ALONE = topology.default(1)
NODE = ALONE.nodes[0]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with ApiServer(MemoryStore()) as server:
        yield server.client()


@pytest.fixture
def pods() -> Iterator[PodNetwork]:
    """The pod side of a node that is alone in its cluster."""
    with network(ALONE) as namespaces:
        yield PodNetwork(NODE, namespaces[NODE.name])


@pytest.fixture
async def around(client: Client, pods: PodNetwork, processes: Processes, tmp_path: Path) -> AsyncIterator[Surroundings]:
    """The surroundings of that node's kubelet."""
    source, recorder = ApiSource(client), Recorder("kubelet", client)
    made = Surroundings(
        node=NODE,
        network=pods.namespace,
        client=client,
        recorder=recorder,
        processes=processes,
        services=source.cache(SERVICES, service),
        config_maps=source.cache(CONFIG_MAPS, same),
        secrets=source.cache(SECRETS, same),
        accounts=source.cache(SERVICE_ACCOUNTS, same),
        volume_claims=source.cache(PERSISTENT_VOLUME_CLAIMS, same),
        folder=tmp_path,
        claims=tmp_path / "claims",
        kubeconfig=tmp_path / "kubeconfig",
        dns_address="10.96.0.10",
        zone="cluster.local",
        host_resolv_conf="",
        authority="",
        handed={},
    )
    tasks = [asyncio.create_task(run()) for run in (recorder.run, source.run)]
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def make(around: Surroundings, pods: PodNetwork) -> Make:
    """Makes the worker of a pod."""
    return lambda obj: PodWorker(around, pods, obj)


async def pod(client: Client) -> Json:
    spec = {"containers": [{"name": "main", "image": "x"}], "nodeName": "control-plane"}
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odd"}, "spec": spec}
    return await client.create(PODS, obj, "default")


async def told(client: Client) -> tuple[Json, set[str]]:
    """The status of the pod, and the reasons of its Events."""
    status: Json = (await client.get(PODS, "odd", "default")).get("status") or {}
    return status, {event["reason"] for event in (await client.list(EVENTS, "default")).items}


async def until(client: Client, reason: str) -> Json:
    async with asyncio.timeout(15):
        while True:
            status, events = await told(client)
            if status.get("reason") == reason and reason in events:
                return status
            await asyncio.sleep(0.01)


def lives(process: Path) -> bool:
    """Whether the process whose id is in a file is there."""
    return Path("/proc", process.read_text().strip()).exists()


async def delete(client: Client, worker: PodWorker) -> None:
    await client.delete(PODS, "odd", "default")
    worker.update(await client.get(PODS, "odd", "default"))


@pytest.mark.parametrize("containers", [None, [], "x", [{"image": "x"}]], ids=["none", "empty", "text", "nameless"])
async def test_a_pod_that_cannot_run_says_so_and_its_deletion_is_finished(
    client: Client, make: Make, containers: Any
) -> None:
    obj = await pod(client)
    worker = make({**obj, "spec": {**obj["spec"], "containers": containers}})
    running = asyncio.create_task(worker.run())
    status = await until(client, "InvalidPod")
    assert (status["phase"], status["message"]) == ("Pending", "there is no container in it that can be read")
    await delete(client, worker)
    await asyncio.wait_for(running, 5)
    with pytest.raises(NotFound):
        await client.get(PODS, "odd", "default")


async def test_a_kubelet_that_fails_with_a_pod_says_so_and_finishes_its_deletion(
    client: Client, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("netnslab.kubelet.podfiles.hosts", fail)
    worker = make(await pod(client))
    running = asyncio.create_task(worker.run())
    status = await until(client, "PodGivenUp")
    assert status["message"] == "the kubelet failed: RuntimeError: out of luck"
    assert "pod default/odd is given up" in caplog.text
    await delete(client, worker)
    await asyncio.wait_for(running, 5)
    with pytest.raises(NotFound):
        await client.get(PODS, "odd", "default")


async def test_what_a_container_waits_for_is_found_soon_but_complained_about_seldom(
    client: Client, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netnslab.kubelet.runner._LOOK_AGAIN", 0.02)
    obj = await pod(client)
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "a"}}}]
    worker = make({**obj, "spec": {**obj["spec"], "containers": [{"name": "main", "image": "x", "env": env}]}})
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0.6)
    counts = [event["count"] for event in (await client.list(EVENTS, "default")).items if event["reason"] == "Failed"]
    assert sum(counts) <= 2
    await client.create(CONFIG_MAPS, {"metadata": {"name": "late"}, "data": {"a": "1"}}, "default")
    async with asyncio.timeout(15):
        while not any(state.ready for state in worker.states()):  # noqa: ASYNC110  # nothing tells a test of it
            await asyncio.sleep(0.01)
    worker.gone()
    await asyncio.wait_for(running, 5)


async def test_containers_outlive_a_volume_that_cannot_be_renewed_which_is_told_and_tried_again(
    client: Client, make: Make, around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netnslab.kubelet.pod._RETRY", 0.05)
    around.config_maps.put({"metadata": {"name": "a", "namespace": "default"}, "data": {"a": "1"}})
    obj = await pod(client)
    spec = {"automountServiceAccountToken": False, "volumes": [{"name": "v", "configMap": {"name": "a"}}]}
    worker = make({**obj, "spec": {**obj["spec"], **spec}})
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(15):
        while not any(state.ready for state in worker.states()):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
        assert worker.sandbox is not None
        volume, before = worker.sandbox.volumes / "v", worker.states()
        volume.rename(volume.with_name("away"))
        volume.write_text("in the way")
        around.config_maps.put({"metadata": {"name": "a", "namespace": "default"}, "data": {"a": "2"}})
        worker.renew_volumes(SourceKind.CONFIG_MAP, "default/a")
        while "FailedMount" not in (await told(client))[1]:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
        volume.unlink()
        volume.with_name("away").rename(volume)
        worker.renew_volumes(SourceKind.CONFIG_MAP, "default/a")
        while (volume / "a").read_text() != "2":  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
    assert worker.states() == before
    worker.gone()
    await asyncio.wait_for(running, 5)


async def test_files_with_labels_and_annotations_follow_their_pod(client: Client, make: Make) -> None:
    fields = ("metadata.labels", "metadata.annotations['note']")
    items = [{"path": str(number), "fieldRef": {"fieldPath": field}} for number, field in enumerate(fields)]
    obj = await pod(client)
    spec = {"automountServiceAccountToken": False, "volumes": [{"name": "v", "downwardAPI": {"items": items}}]}
    worker = make({**obj, "spec": {**obj["spec"], **spec}})
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(15):
        while not any(state.ready for state in worker.states()):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
        assert worker.sandbox is not None
        volume = worker.sandbox.volumes / "v"
        assert [(volume / name).read_text() for name in "01"] == ["", ""]
        worker.update({**obj, "metadata": {**obj["metadata"], "labels": {"a": "1"}, "annotations": {"note": "new"}}})
        while [(volume / name).read_text() for name in "01"] != ['a="1"', "new"]:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
    worker.gone()
    await asyncio.wait_for(running, 5)


async def test_of_errors_in_groups_each_is_told(client: Client, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ExceptionGroup("many", [LabError("no luck"), ExceptionGroup("more", [LabError("no time")])])

    monkeypatch.setattr("netnslab.kubelet.podvolumes.PodVolumes.make", fail)
    worker = make(await pod(client))
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(15):
        while not (events := (await client.list(EVENTS, "default")).items):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
    assert [event["message"] for event in events] == ["no luck; no time"]
    worker.gone()
    await asyncio.wait_for(running, 5)


async def test_a_part_that_is_left_out_is_told_and_the_rest_of_the_pod_runs(client: Client, make: Make) -> None:
    obj = await pod(client)
    worker = make({**obj, "spec": {**obj["spec"], "hostAliases": [{"hostnames": ["a"]}]}})
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(15):
        while True:
            status, events = await told(client)
            if status.get("phase") == "Running" and "PartlyRun" in events:
                break
            await asyncio.sleep(0.01)
    await client.delete(PODS, "odd", "default", grace_seconds=0)
    worker.gone()
    await asyncio.wait_for(running, 5)


async def test_nothing_that_a_container_started_outlives_it(client: Client, make: Make, tmp_path: Path) -> None:
    obj = await pod(client)
    container = {"name": "main", "image": "x", "command": ["sh", "-c", f"sleep 100 & echo $! > {tmp_path}/left"]}
    worker = make({**obj, "spec": {"containers": [container], "hostNetwork": True, "restartPolicy": "Never"}})
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(15):
        while not [state.final for state in worker.states() if state.final]:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
    assert not lives(tmp_path / "left")
    worker.gone()
    await asyncio.wait_for(running, 5)


async def test_a_sidecar_that_waits_to_be_started_again_ends_with_the_work_of_its_pod(
    client: Client, make: Make, tmp_path: Path
) -> None:
    obj, over = await pod(client), tmp_path / "over"
    main = {"name": "main", "image": "x", "command": ["sh", "-c", f"until [ -e {over} ]; do sleep 0.02; done"]}
    sidecar = {"name": "side", "image": "x", "command": ["false"], "restartPolicy": "Always"}
    worker = make(
        {**obj, "spec": {**obj["spec"], "containers": [main], "initContainers": [sidecar], "restartPolicy": "Never"}}
    )
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(9):  # a container that has ended twice is started again after ten
        while "BackOff" not in (await told(client))[1]:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.02)
        over.touch()
        while any(state.final is None for state in worker.states()):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.02)
    worker.gone()
    await asyncio.wait_for(running, 5)


async def test_a_kubelet_outlives_a_pod_that_it_cannot_take_in(
    client: Client, around: Surroundings, pods: PodNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    cache: Cache[Json] = Cache(PODS, same)
    for known in (around.services, around.config_maps, around.secrets, cache):
        known.mark_synced()
    kubelet = Kubelet(around, pods, cache, Machine("6", "Linux", "amd64", 2, 1 << 30))
    running = asyncio.create_task(kubelet.run(tainted=False))
    cache.put({"metadata": {"name": "odd", "namespace": "default"}, "spec": "x"})
    async with asyncio.timeout(15):
        while "Pod default/odd changed, and one who listens failed" not in caplog.text:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
    cache.put(await pod(client))
    cache.remove("default/odd")
    cache.put(await client.get(PODS, "odd", "default"))
    async with asyncio.timeout(15):
        while (await told(client))[0].get("phase") != "Running":  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not kubelet.workers
