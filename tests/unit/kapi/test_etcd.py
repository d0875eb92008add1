"""Servers that share one etcd: they see each other's writes, and go on after etcd was away."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

import pytest

from kapi.errors import StatusError
from kapi.resources import CONFIG_MAPS, SERVICES
from kapi.server import Settings
from kapi.store import Changed, Claims, StoreError, Taken, Write
from kapi.store.etcd import EtcdStore
from kapi.testing import Served, serving

if TYPE_CHECKING:
    from tests.etcd import Etcd


Json = dict[str, Any]


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about in time"
        await asyncio.sleep(0.02)


async def test_servers_that_share_an_etcd_see_one_state(shared_etcd: Etcd) -> None:
    first = EtcdStore(shared_etcd.url, prefix="/shared/")
    second = EtcdStore(shared_etcd.url, prefix="/shared/")
    async with serving(first) as a, serving(second) as b:
        made = await a.client.create(CONFIG_MAPS, {"metadata": {"name": "x"}, "data": {"k": "1"}}, "default")
        version = made["metadata"]["resourceVersion"]
        seen = await b.client.list(CONFIG_MAPS, "default", resource_version=version)
        assert [item["metadata"]["name"] for item in seen.items] == ["x"]
        results = await asyncio.gather(
            *(
                server.client.patch(CONFIG_MAPS, "x", {"data": {f"{name}{i}": "y"}}, "default")
                for i in range(10)
                for name, server in (("a", a), ("b", b))
            )
        )
        last = max(int(r["metadata"]["resourceVersion"]) for r in results)
        for server in (a, b):
            (item,) = (await server.client.list(CONFIG_MAPS, "default", resource_version=str(last))).items
            assert len(item["data"]) == 21, "no write of either server is lost"
        async with b.client.watch(CONFIG_MAPS, "default", resource_version=str(last)) as stream:
            await a.client.delete(CONFIG_MAPS, "x", "default")
            assert (await anext(aiter(stream)))["type"] == "DELETED"
        assert (await a.client.get(SERVICES, "kubernetes", "default"))["spec"]["clusterIP"] == "10.96.0.1"


async def test_what_one_server_acknowledged_every_request_to_another_sees(shared_etcd: Etcd) -> None:
    """Behind one address of several servers nobody knows which of them will answer next."""
    stores = [EtcdStore(shared_etcd.url, prefix="/turns/") for _ in range(2)]
    async with serving(stores[0]) as one, serving(stores[1]) as two:
        for number in range(30):
            here, there = ((one, two), (two, one))[number % 2]
            await here.client.create(CONFIG_MAPS, {"metadata": {"name": "x"}, "data": {}}, "default")
            await there.client.patch(CONFIG_MAPS, "x", {"data": {"k": "1"}}, "default")
            assert (await here.client.get(CONFIG_MAPS, "x", "default"))["data"] == {"k": "1"}
            await here.client.delete(CONFIG_MAPS, "x", "default")
            assert "x" not in {item["metadata"]["name"] for item in (await there.client.list(CONFIG_MAPS)).items}


async def test_requests_at_once_share_what_is_asked_of_etcd(shared_etcd: Etcd) -> None:
    store = EtcdStore(shared_etcd.url, prefix="/crowd/")
    async with serving(store) as server:
        asked = list[str]()
        post = store._post

        async def counted(path: str, body: Json) -> Json:
            asked.append(path)
            return await post(path, body)

        store._post = counted  # type: ignore[method-assign]  # what goes over the wire, not how
        await asyncio.gather(*(server.client.get(SERVICES, "kubernetes", "default") for _ in range(100)))
        assert 1 <= asked.count("kv/range") <= 2


def service(name: str, **spec: Any) -> Json:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def test_servers_that_share_an_etcd_never_give_one_address_twice(shared_etcd: Etcd) -> None:
    small = Settings(service_cidrs=(IPv4Network("10.9.0.0/26"),), node_port_range=(30000, 30040))
    stores = [EtcdStore(shared_etcd.url, prefix="/addresses/") for _ in range(2)]
    async with serving(stores[0], small) as a, serving(stores[1], small) as b:
        made = await asyncio.gather(
            *(
                s.client.create(SERVICES, service(f"s{i}{n}", type="NodePort"), "default")
                for i in range(15)
                for n, s in (("a", a), ("b", b))
            )
        )
        assert len({one["spec"]["clusterIP"] for one in made}) == 30
        assert len({one["spec"]["ports"][0]["nodePort"] for one in made}) == 30
        for address in ("10.9.0.2", "10.9.0.3"):
            wanted = [
                s.client.create(SERVICES, service(f"x{address[-1]}{n}", clusterIP=address), "default")
                for n, s in (("a", a), ("b", b))
            ]
            results = await asyncio.gather(*wanted, return_exceptions=True)
            (refused,) = (result for result in results if isinstance(result, Exception))
            assert "provided IP is already allocated" in str(refused)
        await a.client.delete(SERVICES, "s0a", "default")
        await a.client.delete(SERVICES, "x2a" if "x2a" in await names_of(a) else "x2b", "default")
        again = await b.client.create(SERVICES, service("again", clusterIP="10.9.0.2"), "default")
        assert again["spec"]["clusterIP"] == "10.9.0.2", "what was left can be taken"


async def names_of(served: Served) -> set[str]:
    return {item["metadata"]["name"] for item in (await served.client.list(SERVICES, "default")).items}


async def test_names_claimed_for_a_key_that_is_gone_are_free_again(shared_etcd: Etcd) -> None:
    store = EtcdStore(shared_etcd.url, prefix="/claims/")
    await store.open(lambda _: None)
    first = await store.write("a/x", {}, 0, Claims(("n/1", "n/2")))
    with pytest.raises(Taken, match="one of n/1 is another's"):
        await store.write("a/y", {}, 0, Claims(("n/1",)))
    with pytest.raises(Changed):
        await store.write("a/x", {}, first + 7, Claims(("n/3",)))
    second = await store.write("a/x", {}, first, Claims(left=("n/1",)))
    await store.write("a/y", {}, 0, Claims(("n/1",)))
    await store.write("a/x", None, second)  # by somebody who knows nothing of claims
    await store.close()
    again = EtcdStore(shared_etcd.url, prefix="/claims/")
    await again.open(lambda _: None)
    await again.write("a/z", {}, 0, Claims(("n/2",)))
    with pytest.raises(Taken):
        await again.write("a/w", {}, 0, Claims(("n/1",)))
    await again.close()


async def test_without_etcd_writes_fail_reads_go_on_and_all_recovers(etcd: Etcd) -> None:
    async with serving(EtcdStore(etcd.url)) as served:
        await served.client.create(CONFIG_MAPS, {"metadata": {"name": "before"}}, "default")
        etcd.stop()
        with pytest.raises(StatusError) as refused:
            await served.http.create(CONFIG_MAPS, {"metadata": {"name": "meanwhile"}}, "default")
        assert refused.value.status["code"] == 503
        assert await served.http.get(CONFIG_MAPS, "before", "default")
        etcd.start()

        await served.http.create(CONFIG_MAPS, {"metadata": {"name": "after"}}, "default")
        names = {item["metadata"]["name"] for item in (await served.http.list(CONFIG_MAPS, "default")).items}
        assert {"before", "after"} <= names


@pytest.mark.parametrize("size", [1_600_000, 2_900_000])
async def test_what_is_too_large_for_etcd_is_refused_as_such(shared_etcd: Etcd, size: int) -> None:
    async with serving(EtcdStore(shared_etcd.url, prefix=f"/large-{size}/")) as served:
        with pytest.raises(StatusError, match="large") as refused:
            await served.http.create(CONFIG_MAPS, {"metadata": {"name": "x"}, "data": {"x": "x" * size}}, "default")
        assert refused.value.status["code"] == 413
        await served.http.create(CONFIG_MAPS, {"metadata": {"name": "x"}}, "default")


async def test_an_etcd_that_hangs_is_not_waited_for_for_ever(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kapi.store.etcd._PATIENCE", 0.5)
    store = EtcdStore(etcd.url)
    await store.open(lambda _: None)
    assert etcd.process is not None
    etcd.process.send_signal(signal.SIGSTOP)
    with pytest.raises(StoreError, match="whether it did what was asked is not known"):
        await store.write("a/x", {}, 0)
    etcd.process.send_signal(signal.SIGCONT)
    await asyncio.sleep(0.2)
    with suppress(Changed):  # it may have done what was asked
        await store.write("a/x", {"v": 1}, 0)
    assert await store.write("a/y", {"v": 1}, 0)
    await store.close()


async def test_a_history_that_is_gone_is_replaced_by_a_comparison(etcd: Etcd) -> None:
    writer, reader, heard = EtcdStore(etcd.url), EtcdStore(etcd.url), list[Write]()
    await writer.open(lambda _: None)
    kept, gone = await writer.write("a/kept", {"v": 1}, 0), await writer.write("a/gone", {}, 0)
    await reader.open(heard.append)
    reader._tasks[0].cancel()  # as long as it cannot hear ...
    changed = await writer.write("a/kept", {"v": 2}, kept)
    await writer.write("a/gone", None, gone)
    last = await writer.write("a/new", {}, 0)
    await writer._post("kv/compaction", {"revision": str(last)})
    reader._tasks.append(asyncio.create_task(reader._follow()))
    await until(lambda: len(heard) == 3)
    assert [(w.key, w.value) for w in heard] == [("a/kept", {"v": 2}), ("a/new", {}), ("a/gone", None)]
    assert heard[0].revision == changed
    await writer.write("a/new", {"v": 3}, last)
    await until(lambda: len(heard) == 4)
    await writer.close()
    await reader.close()
