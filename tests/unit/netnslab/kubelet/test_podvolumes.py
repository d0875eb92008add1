from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from kapi.cache import Cache
from kapi.client import Client
from kapi.decode import service
from kapi.events import Recorder
from kapi.resources import CONFIG_MAPS, NAMESPACES, PERSISTENT_VOLUME_CLAIMS, SECRETS, SERVICE_ACCOUNTS, SERVICES
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore
from netnslab import topology
from netnslab.errors import LabError
from netnslab.kernel import Namespace
from netnslab.kubelet import podreading
from netnslab.kubelet.podvolumes import PodVolumes
from netnslab.kubelet.sandbox import Sandbox
from netnslab.kubelet.surroundings import Surroundings
from netnslab.processes import Processes

Json = dict[str, Any]

NODE = topology.default(1).nodes[0]


def config_map(name: str, value: str) -> Json:
    return {"metadata": {"name": name, "namespace": "shop"}, "data": {"file": value}}


def from_config_map(name: str) -> Json:
    return {"name": name, "configMap": {"name": name}}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with ApiServer(MemoryStore()) as server:
        yield server.client()


@pytest.fixture
def around(client: Client, tmp_path: Path) -> Surroundings:
    """The surroundings of a kubelet, as far as volumes need them: no process is started."""
    config_maps: Cache[Json] = Cache(CONFIG_MAPS, dict)
    for name in ("a", "b"):
        config_maps.put(config_map(name, "1"))
    return Surroundings(
        node=NODE,
        network=Namespace(-1),
        client=client,
        recorder=Recorder("kubelet", client),
        processes=cast("Processes", None),
        services=Cache(SERVICES, service),
        config_maps=config_maps,
        secrets=Cache(SECRETS, dict),
        accounts=Cache(SERVICE_ACCOUNTS, dict),
        volume_claims=Cache(PERSISTENT_VOLUME_CLAIMS, dict),
        folder=tmp_path,
        claims=tmp_path / "claims",
        kubeconfig=tmp_path / "kubeconfig",
        dns_address="10.96.0.10",
        zone="cluster.local",
        host_resolv_conf="",
        authority="",
        handed={},
    )


def made(around: Surroundings, *volumes: Json, token: bool = False) -> PodVolumes:
    spec = {"containers": [{"name": "main"}], "volumes": list(volumes), "automountServiceAccountToken": token}
    pod = podreading.read({"metadata": {"name": "web-1", "namespace": "shop"}, "spec": spec})
    return PodVolumes(around, pod, Sandbox(Namespace(-1), ("10.244.1.5",), around.folder))


async def test_a_volume_follows_its_object_whatever_the_others_lack(around: Surroundings) -> None:
    volumes = made(around, *map(from_config_map, "abc"))
    around.config_maps.put(config_map("c", "1"))
    await volumes.make()
    around.config_maps.remove("shop/a")
    (around.folder / "volumes" / "b").rename(around.folder / "b")
    (around.folder / "volumes" / "b").write_text("in the way")
    for name in "bc":
        around.config_maps.put(config_map(name, "2"))
    with pytest.raises(LabError) as lacking:
        await volumes.make()
    assert 'MountVolume.SetUp failed for volume "a" : configmap "a" not found; ' in str(lacking.value)
    assert 'MountVolume.SetUp failed for volume "b" : the files of volume b cannot be written' in str(lacking.value)
    assert (around.folder / "volumes" / "c" / "file").read_text() == "2"


async def test_a_claim_is_a_folder_that_the_next_pod_finds_again(around: Surroundings) -> None:
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "mine"}}
    volumes = made(around, claim)
    with pytest.raises(LabError, match='for volume "data" : persistentvolumeclaim "mine" not found'):
        await volumes.make()
    assert not around.claims.exists()
    around.volume_claims.put({"metadata": {"name": "mine", "namespace": "shop"}})
    assert volumes.claims("shop/mine")
    assert not volumes.claims("other/mine")
    await volumes.make()
    around.volume_claims.remove("shop/mine")
    await volumes.make()
    around.volume_claims.put({"metadata": {"name": "mine", "namespace": "shop"}})
    (around.folder / "volumes" / "data" / "file").write_text("1")
    (around.folder / "volumes" / "data").unlink()
    await made(around, claim).make()
    assert (around.folder / "volumes" / "data" / "file").read_text() == "1"
    assert (around.claims / "shop" / "mine" / "file").read_text() == "1"


async def test_a_token_that_cannot_be_had_is_told_and_got_when_there_is_an_account(around: Surroundings) -> None:
    volumes = made(around, token=True)
    with pytest.raises(LabError, match='failed to fetch token: serviceaccounts "default" not found'):
        await volumes.make()
    await around.client.create(NAMESPACES, {"metadata": {"name": "shop"}})
    await around.client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, "shop")
    await volumes.make()
    assert (around.folder / "volumes" / "kube-api-access" / "token").read_text().count(".") == 2


async def test_an_api_that_cannot_be_asked_for_a_token_is_told_as_what_a_volume_lacks(around: Surroundings) -> None:
    client = Client.connect("http://127.0.0.1:1")
    volumes = made(replace(around, client=client), token=True)
    with pytest.raises(LabError, match=r'for volume "kube-api-access" : failed to fetch token: .*127\.0\.0\.1'):
        await volumes.make()
    await client.close()
