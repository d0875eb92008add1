"""Services: defaults, rules and allocation, with the texts of Kubernetes."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Any

import pytest

from kapi.errors import Invalid, StatusError
from kapi.resources import SERVICES
from kapi.server import Settings
from kapi.store.memory import MemoryStore
from kapi.store.sqlite import SqliteStore
from kapi.testing import Served, serving

Json = dict[str, Any]

HTTP = {"port": 80}
NUMBER = "must be between 1 and 65535, inclusive"


def service(name: str = "web", /, **spec: Any) -> Json:
    return {"metadata": {"name": name}, "spec": {"ports": [HTTP]} | spec}


async def test_a_service_gets_the_documented_defaults(served: Served) -> None:
    spec = (await served.client.create(SERVICES, service()))["spec"]
    address = spec.pop("clusterIP")
    assert ip_address(address) in IPv4Network("10.96.0.0/16")
    assert spec == {
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "clusterIPs": [address],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
    }


async def test_a_load_balancer_gets_node_ports_unless_it_wants_none(served: Served) -> None:
    with_ports = await served.client.create(SERVICES, service("a", type="LoadBalancer"))
    without = await served.client.create(
        SERVICES, service("b", type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    )
    assert 30000 <= with_ports["spec"]["ports"][0]["nodePort"] <= 32767
    assert with_ports["spec"]["externalTrafficPolicy"] == "Cluster"
    assert "nodePort" not in without["spec"]["ports"][0]


async def test_headless_without_a_selector_has_both_families(served: Served) -> None:
    spec = (await served.client.create(SERVICES, service(clusterIP="None")))["spec"]
    assert spec["clusterIPs"] == ["None"]
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("RequireDualStack", ["IPv4", "IPv6"])


async def test_dual_stack_gets_an_address_of_each_family(served: Served) -> None:
    spec = (await served.client.create(SERVICES, service(ipFamilyPolicy="PreferDualStack")))["spec"]
    assert [ip_address(a).version for a in spec["clusterIPs"]] == [4, 6]
    assert ip_address(spec["clusterIPs"][1]) in IPv6Network("fd96::/112")


async def test_tcp_and_udp_of_one_number_share_a_node_port(served: Served) -> None:
    ports = [{"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]
    spec = (await served.client.create(SERVICES, service(type="NodePort", ports=ports)))["spec"]
    assert spec["ports"][0]["nodePort"] == spec["ports"][1]["nodePort"]


RULES: list[tuple[Json, str]] = [
    ({"ports": []}, "spec.ports: Required value"),
    ({"ports": [{"port": 1}, {"port": 2, "name": "b"}]}, "spec.ports[0].name: Required value"),
    (
        {"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]},
        'spec.ports[1].name: Duplicate value: "a"',
    ),
    (
        {"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]},
        'spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}',
    ),
    ({"ports": [{"port": 0}]}, f"spec.ports[0].port: Invalid value: 0: {NUMBER}"),
    ({"ports": [{"port": 70000}]}, f"spec.ports[0].port: Invalid value: 70000: {NUMBER}"),
    (
        {"ports": [{"port": 1, "protocol": "X"}]},
        'spec.ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
    ),
    (
        {"type": "LoadBalancer", "clusterIP": "None"},
        "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services",
    ),
    (
        {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.8"]},
        'spec.clusterIPs: Invalid value: ["10.96.0.8"]: first value must match `clusterIP`',
    ),
    (
        {"clusterIPs": ["10.96.0.8"]},
        'spec.clusterIPs: Invalid value: ["10.96.0.8"]: must be empty when `clusterIP` is not specified',
    ),
    (
        {"clusterIP": "None", "clusterIPs": ["None", "10.96.0.8"]},
        'spec.clusterIPs: Invalid value: ["None","10.96.0.8"]: \'None\' must be the first and only value',
    ),
    (
        {"clusterIP": "10.96.0.8", "clusterIPs": ["10.96.0.8", "10.96.0.9"]},
        'spec.clusterIPs: Invalid value: ["10.96.0.8","10.96.0.9"]: may specify no more than one IP for each IP family',
    ),
    (
        {"type": "ExternalName", "externalName": "a.b", "clusterIP": "10.96.0.8"},
        "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
    ),
    ({"type": "ExternalName"}, "spec.externalName: Required value"),
    (
        {"ports": [{"port": 1, "nodePort": 30000}]},
        "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ),
    (
        {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 1}}},
        "spec.sessionAffinityConfig: Forbidden: must not be set when session affinity is None",
    ),
    (
        {"externalTrafficPolicy": "Local"},
        'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
    ),
    (
        {"clusterIP": "10.97.0.1"},
        'spec.clusterIPs: Invalid value: ["10.97.0.1"]: failed to allocate IP 10.97.0.1: provided IP is not in the '
        "valid range. The range of valid IPs is 10.96.0.0/16",
    ),
    (
        {"clusterIP": "10.96.0.1"},
        'spec.clusterIPs: Invalid value: ["10.96.0.1"]: failed to allocate IP 10.96.0.1: provided IP is already '
        "allocated",
    ),
    (
        {"type": "NodePort", "ports": [{"port": 1, "nodePort": 80}]},
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports "
        "is 30000-32767",
    ),
]


@pytest.mark.parametrize(("spec", "text"), RULES)
async def test_a_service_that_breaks_a_rule_is_refused_in_kubernetes_words(
    served: Served, spec: Json, text: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        await served.client.create(SERVICES, service(**spec))
    assert str(refusal.value) == f'Service "web" is invalid: {text}'
    details = refusal.value.status["details"]
    assert details["kind"] == "Service"
    assert details["causes"][0]["field"] == text.partition(": ")[0]


async def test_several_faults_are_listed_together(served: Served) -> None:
    with pytest.raises(Invalid) as refusal:
        await served.client.create(SERVICES, service(ports=[{"port": 0}], externalTrafficPolicy="Local"))
    assert str(refusal.value).startswith('Service "web" is invalid: [spec.ports[0].port: ')
    assert len(refusal.value.status["details"]["causes"]) == 2


async def test_an_address_cannot_change_and_comes_back_where_it_is_left_out(served: Served) -> None:
    made = await served.client.create(SERVICES, service(type="NodePort"))
    put = await served.client.update(SERVICES, {"metadata": {"name": "web"}, "spec": service(type="NodePort")["spec"]})
    assert put == made, "a put that leaves out what was allocated changes nothing"
    with pytest.raises(Invalid, match=r"spec.clusterIPs\[0\]: .*may not change once set"):
        await served.client.patch(
            SERVICES, "web", {"spec": {"clusterIP": "10.96.9.9", "clusterIPs": ["10.96.9.9"]}}, "default"
        )


async def test_what_a_deleted_service_had_is_free_again(served: Served) -> None:
    made = await served.client.create(SERVICES, service(type="NodePort"))
    spec = made["spec"]
    port = spec["ports"][0]["nodePort"]
    twin = service("twin", type="NodePort", clusterIP=spec["clusterIP"], ports=[{"port": 1, "nodePort": port}])
    with pytest.raises(Invalid, match="already allocated"):
        await served.client.create(SERVICES, twin)
    await served.client.delete(SERVICES, "web", "default")
    assert (await served.client.create(SERVICES, twin))["spec"]["clusterIP"] == spec["clusterIP"]


async def test_a_refused_service_keeps_nothing(served: Served) -> None:
    bad = service(type="NodePort", clusterIP="10.96.0.77", ports=[{"port": 1, "nodePort": 80}])
    with pytest.raises(Invalid):
        await served.client.create(SERVICES, bad)
    assert await served.client.create(SERVICES, service(clusterIP="10.96.0.77"))


async def test_becoming_an_external_name_gives_the_address_back(served: Served) -> None:
    made = await served.client.create(SERVICES, service())
    patch = {"spec": {"type": "ExternalName", "externalName": "example.com", "ports": None}}
    changed = await served.client.patch(SERVICES, "web", patch, "default")
    assert "clusterIP" not in changed["spec"]
    assert await served.client.create(SERVICES, service("next", clusterIP=made["spec"]["clusterIP"]))


async def test_a_full_range_is_the_servers_fault_and_the_static_band_is_given_last() -> None:
    settings = Settings(service_cidrs=(IPv4Network("10.0.0.0/28"),))
    async with serving(settings=settings) as served:
        for index in range(13):
            await served.client.create(SERVICES, service(f"s{index}"))
        with pytest.raises(StatusError) as refusal:
            await served.client.create(SERVICES, service("more"))
    assert refusal.value.status["code"] == 500
    assert "failed to allocate a serviceIP: range is full" in str(refusal.value)


async def test_dynamic_addresses_leave_the_static_band_alone(served: Served) -> None:
    made = [await served.client.create(SERVICES, service(f"s{index}")) for index in range(50)]
    numbers = [int(ip_address(s["spec"]["clusterIP"])) - int(ip_address("10.96.0.0")) for s in made]
    assert min(numbers) > 256


async def test_allocations_survive_a_restart() -> None:
    store = MemoryStore()
    async with serving(store) as served:
        await served.client.create(SERVICES, service(clusterIP="10.96.0.50"))
    async with serving(store) as served:
        with pytest.raises(Invalid, match="already allocated"):
            await served.client.create(SERVICES, service("twin", clusterIP="10.96.0.50"))


async def test_a_dry_run_allocates_and_keeps_nothing(served: Served) -> None:
    answer = await served.client.transport.send(_dry(service(clusterIP="10.96.0.60")))
    assert answer["spec"]["type"] == "ClusterIP"
    assert await served.client.create(SERVICES, service(clusterIP="10.96.0.60"))


def _dry(obj: Json) -> Any:
    from kapi.transport import Request

    return Request("POST", SERVICES.path("default"), {"dryRun": "All"}, obj)


async def test_an_address_of_a_write_whose_writer_has_gone_is_not_given_again(tmp_path: Path) -> None:
    async with serving(SqliteStore(tmp_path / "f.db")) as served:
        writer = asyncio.create_task(served.client.create(SERVICES, service(clusterIP="10.96.0.70")))
        await asyncio.sleep(0)
        writer.cancel()
        await asyncio.wait([writer])
        await asyncio.sleep(0.1)
        assert await served.client.get(SERVICES, "web", "default"), "the store finishes what it has accepted"
        with pytest.raises(Invalid, match="already allocated"):
            await served.client.create(SERVICES, service("twin", clusterIP="10.96.0.70"))


LEFTOVERS = ("externalTrafficPolicy", "healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass")


@pytest.mark.parametrize("start", ["NodePort", "LoadBalancer"])
@pytest.mark.parametrize("target", ["ClusterIP", "NodePort", "ExternalName"])
async def test_another_type_drops_what_it_has_no_use_for(served: Served, start: str, target: str) -> None:
    extra = {"externalTrafficPolicy": "Local"} | ({"loadBalancerClass": "a.io/b"} if start == "LoadBalancer" else {})
    before = (await served.client.create(SERVICES, service(type=start, **extra)))["spec"]
    address = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    if start == "LoadBalancer":
        await served.client.patch(SERVICES, "web", {"status": address}, "default", subresource="status")
    patch = {"spec": {"type": target, "externalName": "example.com" if target == "ExternalName" else None}}
    after = await served.client.patch(SERVICES, "web", patch, "default")
    left = {part for part in LEFTOVERS if part in after["spec"]}
    assert left == ({"externalTrafficPolicy"} if target == "NodePort" else set())
    assert ("nodePort" in after["spec"]["ports"][0]) is (target == "NodePort")
    assert after["spec"].get("clusterIP") == (None if target == "ExternalName" else before["clusterIP"])
    assert after["status"] == {"loadBalancer": {}}


async def test_what_is_set_anew_with_another_type_is_refused_where_it_makes_no_sense(served: Served) -> None:
    await served.client.create(SERVICES, service(type="NodePort"))
    with pytest.raises(Invalid, match="may only be set for externally-accessible services"):
        await served.client.patch(
            SERVICES, "web", {"spec": {"type": "ClusterIP", "externalTrafficPolicy": "Local"}}, "default"
        )
    port = {"port": 80, "protocol": "TCP", "nodePort": 30999}
    with pytest.raises(Invalid, match="may not be used when `type` is 'ClusterIP'"):
        await served.client.patch(SERVICES, "web", {"spec": {"type": "ClusterIP", "ports": [port]}}, "default")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ("::1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
        ("169.254.1.1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        ("224.0.0.1", "may not be a multicast address (224.0.0.0/4, ff00::/8)"),
        ("fe80::1%eth0", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
    ],
)
async def test_an_external_ip_is_nobodys_private_address(served: Served, address: str, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        await served.client.create(SERVICES, service(externalIPs=[address]))
    assert text in str(refused.value)
    assert refused.value.status["details"]["causes"][0]["field"] == "spec.externalIPs[0]"


async def test_a_load_balancers_status_holds_addresses(served: Served) -> None:
    made = await served.client.create(SERVICES, service(type="LoadBalancer"))
    bad = {**made, "status": {"loadBalancer": {"ingress": [{"ip": "bad"}]}}}
    with pytest.raises(Invalid, match=r"status.loadBalancer.ingress\[0\].ip"):
        await served.client.update(SERVICES, bad, subresource="status")
