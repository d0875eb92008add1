from __future__ import annotations

import asyncio
import itertools
from datetime import datetime
from typing import Any

import pytest
from tests.cluster.space import Space, command, image, is_ready

from kapi.errors import NotFound
from kapi.resources import CONFIG_MAPS, PODS, SECRETS, SERVICES

Json = dict[str, Any]

_numbers = itertools.count(1)


async def test_an_image_that_cannot_run_is_stood_in_for_by_the_echo_server(space: Space) -> None:
    name = await space.create({"containers": [image(ports=[{"containerPort": 8080}])]})
    status = await space.ready(name)
    answer = await space.exec(name, "curl", "-s", f"http://{status['podIP']}:8080/some/path")
    assert f"pod: {name}\n" in answer
    assert "request: GET /some/path HTTP/1.1\n" in answer
    assert "nginx" in await space.event(name, "StandIn")


async def test_a_pod_has_an_address_of_each_family_and_a_host(space: Space) -> None:
    name = await space.create({"containers": [image()]})
    status = await space.ready(name)
    families = [":" in item["ip"] for item in status["podIPs"]]
    assert families == [False, True]
    assert status["podIP"] == status["podIPs"][0]["ip"]
    assert status["hostIP"].startswith("172.30.0.")
    assert status["phase"] == "Running"


async def test_a_stand_in_answers_on_ports_that_only_a_later_service_names(space: Space) -> None:
    name = await space.create({"containers": [image(ports=[{"containerPort": 80}])]}, labels={"app": "late"})
    status = await space.ready(name)
    service = {
        "metadata": {"name": "late"},
        "spec": {"selector": {"app": "late"}, "ports": [{"port": 80, "targetPort": 7007}]},
    }
    await space.lab.client.create(SERVICES, {"apiVersion": "v1", "kind": "Service", **service}, space.name)
    answer = await space.exec(
        name,
        "curl",
        "-s",
        "--retry",
        "20",
        "--retry-connrefused",
        "--retry-delay",
        "0",
        f"http://{status['podIP']}:7007/",
    )
    assert f"pod: {name}\n" in answer
    assert "which a Service names" in await space.event(name, "port 7007/TCP")


async def test_a_command_runs_from_the_hosts_files_with_the_pods_name_and_variables(space: Space) -> None:
    await space.lab.client.create(
        CONFIG_MAPS, {"metadata": {"name": "settings"}, "data": {"colour": "blue"}} | V1("ConfigMap"), space.name
    )
    await space.lab.client.create(
        SECRETS, {"metadata": {"name": "keys"}, "data": {"key": "c2VjcmV0"}} | V1("Secret"), space.name
    )
    env = [
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "BOTH", "value": "$(COLOUR)-$(KEY)"},
    ]
    script = 'echo "$(hostname) $COLOUR $KEY $BOTH $IP $0"; sleep 1000'
    name = await space.create({"containers": [command("sh", "-c", script, "$(COLOUR)", env=env)]})
    status = await space.ready(name)
    log = await space.lab.command("logs", f"{space.name}/{name}")
    assert log.stdout == f"{name} blue secret blue-secret {status['podIP']} blue\n"


def V1(kind: str) -> Json:  # noqa: N802  # reads as the object's type
    return {"apiVersion": "v1", "kind": kind}


async def test_a_container_waits_for_the_objects_it_refers_to(space: Space) -> None:
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "x"}}}]
    name = await space.create({"containers": [command("sleep", "1000", env=env)]})
    await space.until(name, lambda s: waiting(s) == "CreateContainerConfigError", "waiting for the ConfigMap")
    await space.lab.client.create(
        CONFIG_MAPS, {"metadata": {"name": "late"}, "data": {"x": "1"}} | V1("ConfigMap"), space.name
    )
    await space.ready(name)


def waiting(status: Json) -> str:
    states = status.get("containerStatuses") or [{}]
    return str(states[0].get("state", {}).get("waiting", {}).get("reason", ""))


async def test_a_container_that_ends_is_restarted_at_once_and_then_backs_off(space: Space) -> None:
    name = await space.create({"containers": [command("sh", "-c", "exit 3")]})
    status = await space.until(name, lambda s: waiting(s) == "CrashLoopBackOff" and restarts(s) == 1, "back-off")
    assert status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3
    assert status["phase"] == "Running"
    assert not is_ready(status)


def restarts(status: Json) -> int:
    return int((status.get("containerStatuses") or [{"restartCount": 0}])[0]["restartCount"])


async def test_a_killed_stand_in_comes_back_with_the_same_address(space: Space) -> None:
    name = await space.create({"containers": [image(ports=[{"containerPort": 8080}])]})
    before = await space.ready(name)
    await space.exec(name, "sh", "-c", "kill -9 $(ps -e -o pid,args,comm | awk '$NF == \"echo\" {print $1}' | tail -1)")
    after = await space.until(name, lambda s: is_ready(s) and restarts(s) == 1, "restarted")
    assert after["podIP"] == before["podIP"]
    assert after["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [("Never", 0, "Succeeded"), ("Never", 4, "Failed"), ("OnFailure", 0, "Succeeded")],
)
async def test_a_pod_that_is_not_restarted_comes_to_an_end(space: Space, policy: str, code: int, phase: str) -> None:
    name = await space.create({"restartPolicy": policy, "containers": [command("sh", "-c", f"exit {code}")]})
    status = await space.until(name, lambda s: s.get("phase") == phase, phase)
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == code
    assert not is_ready(status)


async def test_init_containers_run_in_order_before_the_others(space: Space) -> None:
    shared = f"/tmp/{space.name}"
    steps = [
        {"name": f"step-{n}", "image": "busybox", "command": ["sh", "-c", f"echo {n} >> {shared}"]} for n in (1, 2)
    ]
    name = await space.create(
        {"initContainers": steps, "containers": [command("sh", "-c", f"cat {shared}; rm {shared}; sleep 99")]}
    )
    status = await space.ready(name)
    assert (await space.lab.command("logs", f"{space.name}/{name}")).stdout == "1\n2\n"
    assert [s["state"]["terminated"]["exitCode"] for s in status["initContainerStatuses"]] == [0, 0]


async def test_an_init_container_without_a_command_of_the_host_is_passed_with_an_event(space: Space) -> None:
    first = {"name": "migrate", "image": "example/migrate"}
    name = await space.create({"initContainers": [first], "containers": [image()]})
    await space.ready(name)
    assert "migrate" in await space.event(name, "ContainerPassed")


async def test_a_failing_init_container_holds_the_others_back(space: Space) -> None:
    first = {"name": "check", "image": "busybox", "command": ["false"]}
    name = await space.create({"initContainers": [first], "containers": [image()]})
    status = await space.until(
        name, lambda s: s.get("initContainerStatuses", [{}])[0].get("restartCount"), "init restarted"
    )
    assert status["phase"] == "Pending"
    assert waiting(status) == "PodInitializing"


SERVER = "import http.server as h; h.HTTPServer(('', 8000), h.SimpleHTTPRequestHandler).serve_forever()"


@pytest.mark.parametrize(
    "probe",
    [
        {"httpGet": {"path": "/", "port": 8000}},
        {"tcpSocket": {"port": 8000}},
        {"exec": {"command": ["test", "-e", "/etc/hosts"]}},
        {"httpGet": {"path": "/", "port": "web"}},
    ],
    ids=["http", "tcp", "exec", "named port"],
)
async def test_a_readiness_probe_that_succeeds_makes_ready(space: Space, probe: Json) -> None:
    ports = [{"name": "web", "containerPort": 8000}]
    name = await space.create({"containers": [command("python3", "-c", SERVER, ports=ports, readinessProbe=probe)]})
    await space.ready(name)


@pytest.mark.parametrize(
    "probe",
    [
        {"httpGet": {"path": "/missing", "port": 8000}},
        {"tcpSocket": {"port": 8001}},
        {"exec": {"command": ["false"]}},
    ],
    ids=["http", "tcp", "exec"],
)
async def test_a_readiness_probe_that_fails_keeps_a_running_pod_unready(space: Space, probe: Json) -> None:
    name = await space.create({"containers": [command("python3", "-c", SERVER, readinessProbe=probe)]})
    await space.until(name, lambda s: s.get("phase") == "Running", "running")
    await asyncio.sleep(0.5)
    assert not is_ready(await space.until(name, bool, "status"))


async def test_readiness_follows_the_probe_both_ways(space: Space) -> None:
    flag = f"/tmp/{space.name}-ready"
    probe = {"exec": {"command": ["test", "-e", flag]}, "periodSeconds": 1, "failureThreshold": 1}
    name = await space.create({"containers": [command("sleep", "1000", readinessProbe=probe)]})
    await space.until(name, lambda s: s.get("phase") == "Running", "running")
    await space.exec(name, "touch", flag)
    await space.ready(name)
    await space.exec(name, "rm", flag)
    await space.until(name, lambda s: not is_ready(s), "unready")


async def test_a_liveness_probe_that_fails_restarts_the_container(space: Space) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [command("sleep", "1000", livenessProbe=probe)]}
    name = await space.create(spec)
    await space.until(name, lambda s: restarts(s) >= 1, "restarted")
    await space.event(name, "Unhealthy")


async def test_a_startup_probe_holds_the_other_probes_back(space: Space) -> None:
    flag = f"/tmp/{space.name}-started"
    startup = {"exec": {"command": ["test", "-e", flag]}, "periodSeconds": 1, "failureThreshold": 30}
    name = await space.create({"containers": [command("sleep", "1000", startupProbe=startup)]})
    status = await space.until(name, lambda s: s.get("phase") == "Running", "running")
    assert status["containerStatuses"][0]["started"] is False
    assert not is_ready(status)
    await space.exec(name, "touch", flag)
    await space.ready(name)
    await space.exec(name, "rm", flag)


@pytest.mark.parametrize(
    "probe",
    [
        {"grpc": {"port": 9555}},
        {"exec": {"command": ["redis-cli-of-the-image", "ping"]}},
        {"httpGet": {"port": 8443, "scheme": "HTTPS"}},
    ],
    ids=["grpc", "exec", "https"],
)
async def test_a_probe_that_a_stand_in_cannot_answer_passes_and_says_so(space: Space, probe: Json) -> None:
    name = await space.create({"containers": [image(readinessProbe=probe, livenessProbe=probe)]})
    await space.ready(name)
    await space.event(name, "ProbePassed")


@pytest.mark.parametrize("probe", [{"httpGet": {"path": "/healthz", "port": 8081}}, {"tcpSocket": {"port": 8082}}])
async def test_a_stand_in_satisfies_probes_of_undeclared_ports_for_real(space: Space, probe: Json) -> None:
    name = await space.create({"containers": [image(readinessProbe=probe)]})
    await space.ready(name)
    assert not [event for event in await space.events(name) if "ProbePassed" in event]


async def test_a_deleted_pod_gets_sigterm_and_time_to_end(space: Space) -> None:
    flag = f"/tmp/{space.name}-term"
    script = f"trap 'sleep 0.3; echo bye > {flag}; exit 0' TERM; echo listening; while :; do sleep 0.05; done"
    name = await space.create({"containers": [command("sh", "-c", script)]})
    await space.says(name, "listening")
    await space.lab.client.delete(PODS, name, space.name)
    assert "deletionTimestamp" in (await space.lab.client.get(PODS, name, space.name))["metadata"]
    await gone(space, name)
    assert (await space.lab.exec("client", "sh", "-c", f"cat {flag}; rm {flag}")).stdout == "bye\n"


async def gone(space: Space, name: str, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while True:
            try:
                await space.lab.client.get(PODS, name, space.name)
            except NotFound:
                return
            await asyncio.sleep(0.02)


DEAF = "trap '' TERM; echo deaf; while :; do sleep 0.05; done"


async def test_a_pod_that_ignores_sigterm_is_killed_when_its_grace_period_is_over(space: Space) -> None:
    name = await space.create({"terminationGracePeriodSeconds": 1, "containers": [command("sh", "-c", DEAF)]})
    await space.says(name, "deaf")
    started = asyncio.get_running_loop().time()
    await space.lab.client.delete(PODS, name, space.name)
    await gone(space, name)
    assert 0.8 < asyncio.get_running_loop().time() - started < 10


async def test_a_forced_deletion_waits_for_nothing(space: Space) -> None:
    name = await space.create({"terminationGracePeriodSeconds": 60, "containers": [command("sh", "-c", DEAF)]})
    await space.says(name, "deaf")
    await space.lab.client.delete(PODS, name, space.name, grace_seconds=0)
    await gone(space, name)


async def test_nothing_that_a_pod_started_outlives_it(space: Space) -> None:
    name = await space.create({"containers": [command("sh", "-c", "setsid sleep 4711 & exec sleep 99")]})
    await space.ready(name)
    await running(space, "^sleep 4711", 1)
    await space.lab.client.delete(PODS, name, space.name, grace_seconds=0)
    await running(space, "^sleep 4711", 0)


async def running(space: Space, pattern: str, count: int) -> None:
    """Wait until so many processes of the lab have a command line like this."""
    listing = ("node/worker-1", "sh", "-c", f"ps -e -o args | grep -c '{pattern}' || true")
    async with asyncio.timeout(10):
        while (await space.lab.exec(*listing)).stdout != f"{count}\n":  # noqa: ASYNC110  # no event tells of it
            await asyncio.sleep(0.05)


async def test_a_pod_of_the_host_network_has_its_nodes_addresses(space: Space) -> None:
    name = await space.create({"hostNetwork": True, "containers": [image(ports=[{"containerPort": 7999}])]})
    status = await space.ready(name)
    assert status["podIP"] == status["hostIP"]
    answer = (await space.lab.exec("client", "curl", "-s", f"http://{status['hostIP']}:7999/")).check()
    assert f"pod: {name}\n" in answer


async def test_containers_of_a_pod_share_its_network(space: Space) -> None:
    asker = {
        "name": "asker",
        "image": "busybox",
        "command": ["sh", "-c", "sleep 0.2; curl -s http://localhost:8080/; sleep 99"],
    }
    name = await space.create({"containers": [image(ports=[{"containerPort": 8080}]), asker]})
    await space.ready(name)
    await space.says(name, f"pod: {name}\n", "asker")


async def test_a_pod_has_its_own_hosts_file_and_resolver(space: Space) -> None:
    alias = [{"ip": "192.0.2.9", "hostnames": ["nine.example"]}]
    name = await space.create({"hostAliases": alias, "containers": [image()]})
    status = await space.ready(name)
    hosts = await space.exec(name, "cat", "/etc/hosts")
    assert f"{status['podIP']}\t{name}\n" in hosts
    assert "192.0.2.9\tnine.example\n" in hosts
    resolver = await space.exec(name, "cat", "/etc/resolv.conf")
    assert resolver.splitlines()[:2] == [
        "nameserver 10.96.0.10",
        f"search {space.name}.svc.cluster.local svc.cluster.local cluster.local",
    ]


async def test_names_outside_the_cluster_resolve_and_answer(space: Space) -> None:
    name = await space.create({"containers": [image()]})
    await space.ready(name)
    assert "pod: outside\n" in await space.exec(name, "curl", "-s", "http://legacy.outside.test/")


async def test_a_pods_log_is_told_by_the_api(space: Space) -> None:
    name = await space.create({"containers": [command("sh", "-c", "echo hello from the log; sleep 99")]})
    await space.ready(name)
    result = await space.lab.kubectl("logs", "-n", space.name, name)
    assert result.stdout == "hello from the log\n", result.stderr
    previous = await space.lab.kubectl("logs", "-n", space.name, name, "--previous")
    assert f'previous terminated container "main" in pod "{name}" not found' in previous.stderr


async def test_each_run_of_a_container_and_each_init_container_has_a_log_of_its_own(space: Space) -> None:
    first = {"name": "first", "image": "busybox", "command": ["echo", "made ready"]}
    script = "date +run-%s.%N; test -e again && sleep 99; touch again"
    name = await space.create({"initContainers": [first], "containers": [command("sh", "-c", script)]})
    await space.until(name, lambda s: (s.get("containerStatuses") or [{}])[0].get("restartCount") == 1, "restarted")
    await space.ready(name)
    logs = [
        (await space.lab.kubectl("logs", "-n", space.name, name, *words)).stdout.splitlines()
        for words in ([], ["--previous"], ["-c", "first"])
    ]
    assert [len(lines) for lines in logs] == [1, 1, 1]
    assert logs[0] > logs[1]
    assert logs[2] == ["made ready"]


async def test_the_echo_server_logs_who_asked_for_what(space: Space) -> None:
    name = await space.create({"containers": [image(ports=[{"containerPort": 8080}])]})
    address = (await space.ready(name))["podIP"]
    await space.exec(name, "curl", "-s", f"http://{address}:8080/some/path?x=1")
    line = (await space.lab.kubectl("logs", "-n", space.name, name)).stdout.splitlines()[-1]
    assert line.endswith("GET /some/path?x=1 HTTP/1.1")
    assert address in line


@pytest.mark.parametrize("family", [4, 6])
async def test_pods_of_one_node_and_of_two_reach_each_other_and_themselves_by_a_service(
    space: Space, family: int
) -> None:
    spec = {"containers": [image(ports=[{"containerPort": 8080}])]}
    names = [
        await space.create({**spec, "nodeName": node}, labels={"app": "mesh"})
        for node in ("worker-1", "worker-1", "worker-2")
    ]
    for name in names:
        await space.ready(name)
    service = {
        "metadata": {"name": "mesh"},
        "spec": {
            "selector": {"app": "mesh"},
            "ipFamilies": [f"IPv{family}"],
            "ports": [{"port": 80, "targetPort": 8080}],
        },
    }
    await space.lab.client.create(SERVICES, service | V1("Service"), space.name)
    asking = "for i in $(seq 30); do curl -s --max-time 2 http://mesh/ || echo failed; done"
    script = f"{asking} | grep -E '^pod|failed' | sort -u"
    for name in (names[0], names[2]):
        answers: list[str] = []
        async with asyncio.timeout(20):  # the Service is new, and has its name and endpoints in a moment
            while answers != sorted(f"pod: {one}" for one in names):
                answers = (await space.exec(name, "sh", "-c", script)).splitlines()


async def test_logs_have_the_times_of_their_lines_also_after_a_restart(space: Space) -> None:
    """`kubectl` asks by the second."""
    script = "test -e again || { touch again; echo old; exit 1; }; echo first; sleep 1.1; echo second; sleep 60"
    name = await space.create({"containers": [command("sh", "-c", script)]})

    async def lines(*options: str) -> list[tuple[datetime, str]]:
        told = await space.lab.kubectl("logs", f"--namespace={space.name}", name, "--timestamps", *options)
        parts = (line.partition(" ") for line in told.check().splitlines())
        return [(datetime.fromisoformat(stamp), words) for stamp, _, words in parts]

    await space.says(name, "second")
    ((before, _),) = await lines("--previous")
    (new, first), (newer, second) = await lines()
    assert (first, second) == ("first", "second")
    assert before < new
    assert 1 < (newer - new).total_seconds() < 6
    assert await lines(f"--since-time={newer.isoformat()}") == [(newer, "second")]
    assert await lines("--since=1h", "--tail=1") == [(newer, "second")]
