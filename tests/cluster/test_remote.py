"""Commands in containers, ports of pods and logs that grow, as people use them: with kubectl and Python's client."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kapi.resources import NAMESPACES, PODS
from netnslab.lab import Lab, Result, run

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]

SPACE = "remote"
WAYS = {"over WebSockets": "true", "over SPDY": "false"}  # kubectl before 1.30 knows SPDY only


CHATTY = "trap 'exit 0' TERM; n=0; while :; do n=$((n+1)); echo line $n; sleep 0.1 & wait $!; done"
CONTAINERS: dict[str, dict[str, Any]] = {
    "shell": {"command": ["sh", "-c", CHATTY], "env": [{"name": "COLOUR", "value": "blue"}]},
    "echo": {"ports": [{"containerPort": 8080}]},
}


@pytest.fixture(scope="module")
def lab_with_pods(running_lab: Lab) -> Iterator[Lab]:
    """A pod with a command of the host, and one that an echo server stands in for."""
    asyncio.run(create(running_lab))
    yield running_lab
    asyncio.run(delete(running_lab))


async def create(lab: Lab) -> None:
    async with lab.connected():
        await lab.client.create(NAMESPACES, {"metadata": {"name": SPACE}})
        for name, container in CONTAINERS.items():
            spec = {"containers": [{"name": "main", "image": "x", **container}], "terminationGracePeriodSeconds": 2}
            await lab.client.create(PODS, {"metadata": {"name": name}, "spec": spec}, SPACE)
        ready = ["wait", "-n", SPACE, "--for=condition=Ready", "pod", "--all", "--timeout=20s"]
        (await lab.kubectl(*ready)).check()


async def delete(lab: Lab) -> None:
    async with lab.connected():
        await lab.client.delete(NAMESPACES, SPACE)


@pytest.fixture(params=WAYS.values(), ids=list(WAYS))
def environment(request: pytest.FixtureRequest, lab_with_pods: Lab) -> dict[str, str]:
    ways = dict.fromkeys(("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS"), request.param)
    return {"KUBECONFIG": str(lab_with_pods.kubeconfig), **ways}


async def kubectl(environment: dict[str, str], *words: str, given: str = "") -> Result:
    return await run("kubectl", "-n", SPACE, *words, env=environment, given=given)


async def test_a_command_runs_in_the_container_and_ends_with_its_code(environment: dict[str, str]) -> None:
    script = 'echo "$(hostname) $COLOUR"; echo oops >&2; exit 7'
    ran = await kubectl(environment, "exec", "shell", "--", "sh", "-c", script)
    assert (ran.code, ran.stdout) == (7, "shell blue\n")
    assert ran.stderr.splitlines()[0] == "oops"
    assert "exit code 7" in ran.stderr


async def test_a_command_reads_its_input_to_the_end(environment: dict[str, str]) -> None:
    ran = await kubectl(environment, "exec", "-i", "shell", "--", "wc", "-c", given="x" * 3_000_000)
    assert (ran.code, ran.stdout.strip()) == (0, "3000000"), ran.stderr


async def test_all_that_is_printed_arrives(environment: dict[str, str]) -> None:
    ran = await kubectl(environment, "exec", "shell", "--", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x")
    assert len(ran.stdout) == 3_000_000


async def test_what_a_command_leaves_running_does_not_hold_it_up(environment: dict[str, str]) -> None:
    async with asyncio.timeout(10):
        ran = await kubectl(environment, "exec", "shell", "--", "sh", "-c", "sleep 30 & echo started")
    assert ran.stdout == "started\n"


async def test_a_command_on_a_terminal_has_one_of_the_same_size(environment: dict[str, str]) -> None:
    words = "stty rows 33 cols 90; kubectl -n remote exec -it shell -- sh -c 'sleep 0.3; stty size; tty; exit 4'"
    ran = await run("script", "-qec", words, "/dev/null", env=environment)
    assert "33 90" in ran.stdout
    assert "/dev/pts/" in ran.stdout
    assert ran.code == 4


async def test_a_file_is_copied_there_and_back(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(os.urandom(500_000))
    there = f"{tmp_path}/there"
    for source, target in ((f"{tmp_path}/here", f"shell:{there}"), (f"shell:{there}", f"{tmp_path}/back")):
        copied = await kubectl(environment, "cp", source, target)
        assert copied.code == 0, copied.stderr
    assert (tmp_path / "back").read_bytes() == (tmp_path / "here").read_bytes()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["exec", "shell", "--", "no-such-command"], 127, "no-such-command: No such file"),
        (["exec", "nobody", "--", "true"], 1, 'pods "nobody" not found'),
        (["exec", "shell", "-c", "other", "--", "true"], 1, "other"),
    ],
)
async def test_what_cannot_be_run_is_told(environment: dict[str, str], words: list[str], code: int, told: str) -> None:
    ran = await kubectl(environment, *words)
    assert (ran.code, told in ran.stderr) == (code, True), ran.stderr


@asynccontextmanager
async def forwarding(environment: dict[str, str], target: str, port: int) -> AsyncIterator[str]:
    """`kubectl port-forward`, and where it takes connections."""
    words = ["kubectl", "-n", SPACE, "port-forward", target, f":{port}"]
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, env={**os.environ, **environment}
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        found = re.search(r"127\.0\.0\.1:\d+", line)
        assert found, line
        yield f"http://{found[0]}"
    finally:
        process.terminate()
        await process.communicate()


async def test_a_port_of_a_pod_is_reached_from_here_by_many_at_once(environment: dict[str, str]) -> None:
    async with forwarding(environment, "pod/echo", 8080) as url, aiohttp.ClientSession() as session:

        async def ask(number: int) -> str:
            async with session.post(f"{url}/{number}", data=b"x" * 100_000) as response:
                return await response.text()

        answers = await asyncio.gather(*(ask(number) for number in range(20)))
    for number, answer in enumerate(answers):
        assert answer.startswith("pod: echo\n")
        assert f"request: POST /{number} HTTP/1.1" in answer
        assert answer.endswith("x" * 100_000)


async def test_a_port_where_nobody_listens_is_told(environment: dict[str, str]) -> None:
    async with forwarding(environment, "pod/shell", 99) as url, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(url)


async def test_pythons_client_runs_commands_too(lab_with_pods: Lab) -> None:
    code = f"""
from kubernetes import client, config
from kubernetes.stream import stream
config.load_kube_config({str(lab_with_pods.kubeconfig)!r})
api = client.CoreV1Api()
options = dict(command=["sh", "-c", "echo hello; exit 3"], stdout=True, stderr=True, stdin=False, tty=False)
run = stream(api.connect_get_namespaced_pod_exec, "shell", {SPACE!r}, _preload_content=False, **options)
run.run_forever(timeout=10)
print(run.read_stdout().strip(), run.returncode)
"""
    ran = await run(sys.executable, "-W", "ignore", "-c", code)
    assert ran.stdout == "hello 3\n", ran.stderr


async def test_other_users_of_the_machine_may_not_use_the_api(lab_with_pods: Lab) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root, with setpriv, can become another user")
    ask = ["curl", "-s", "-w", " %{http_code}", f"{lab_with_pods.status['api']}/api/v1/namespaces"]
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    refused = (await run(*nobody, *ask)).stdout
    assert "this lab belongs to user 0: user 65534 may not use it" in refused
    assert refused.endswith(" 403")
    assert (await run(*ask)).stdout.endswith(" 200")


async def test_a_page_of_another_site_may_not_run_commands(lab_with_pods: Lab) -> None:
    url = f"{lab_with_pods.status['api']}/api/v1/namespaces/{SPACE}/pods/shell/exec?command=true&stdout=true"
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url, protocols=("v5.channel.k8s.io",), origin="http://elsewhere.example")
        assert refused.value.status == 403
        async with session.ws_connect(
            url, protocols=("v5.channel.k8s.io",), origin=lab_with_pods.status["api"]
        ) as ours:
            told = await ours.receive_bytes()
    assert b"Success" in told


async def test_a_command_ends_when_its_client_goes(lab_with_pods: Lab) -> None:
    url = f"{lab_with_pods.status['api']}/api/v1/namespaces/{SPACE}/pods/shell/exec"
    command = {"command": "sleep", "stdout": "true"}
    mark = "4711.4711"
    async with aiohttp.ClientSession() as session:
        query = [*command.items(), ("command", mark)]
        socket = await session.ws_connect(url, params=query, protocols=("v5.channel.k8s.io",))
        assert await eventually(lambda: running(mark), True)
        await socket.close()
    assert await eventually(lambda: running(mark), False)


def running(mark: str) -> bool:
    """Whether a command with this argument runs anywhere."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"sleep\0{mark}\0".encode() == path.read_bytes():
                return True
        except OSError:
            continue
    return False


async def eventually(asked: Any, wanted: object) -> bool:
    for _ in range(250):
        if asked() == wanted:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_log_is_followed_until_its_container_has_ended(lab_with_pods: Lab) -> None:
    environment = {"KUBECONFIG": str(lab_with_pods.kubeconfig)}
    container = {"name": "main", "image": "x", "command": ["sh", "-c", "echo one; sleep 1; echo two; sleep 0.2"]}
    spec = {"containers": [container], "restartPolicy": "Never"}
    async with lab_with_pods.connected():
        await lab_with_pods.client.create(PODS, {"metadata": {"name": "brief"}, "spec": spec}, SPACE)
    waited = await kubectl(environment, "wait", "--for=condition=Ready", "pod/brief", "--timeout=10s")
    assert waited.code == 0, waited.stderr
    followed = await kubectl(environment, "logs", "-f", "brief")
    assert followed.stdout == "one\ntwo\n"
    again = await kubectl(environment, "logs", "brief", "--tail=1", "--timestamps")
    stamp, _, line = again.stdout.partition(" ")
    assert (line, again.stderr) == ("two\n", "")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()) < 60


async def test_one_can_ask_from_a_pod_made_for_one_question(lab_with_pods: Lab) -> None:
    environment = {"KUBECONFIG": str(lab_with_pods.kubeconfig)}
    made = ["run", "question", "--image=busybox:1.36", "--restart=Never", "--rm", "-i"]
    asked = await kubectl(environment, *made, "--", "sh", "-c", "sleep 0.5; echo hello")
    assert "hello\n" in asked.stdout, asked.stderr
    assert 'pod "question" deleted' in asked.stdout


async def test_a_question_is_asked_with_the_image_of_a_tool_as_with_any_other_that_is_run_once(
    lab_with_pods: Lab,
) -> None:
    environment = {"KUBECONFIG": str(lab_with_pods.kubeconfig)}
    for image in ("curlimages/curl", "example/own"):
        asked = await kubectl(
            environment, "run", "asks", f"--image={image}", "--restart=Never", "--rm", "-i", "--",
            "curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "https://kubernetes.default.svc/version",
        )  # fmt: skip
        assert asked.stdout.startswith("200"), asked.stderr


async def test_a_pod_of_a_deployment_is_found_by_the_name_of_that(lab_with_pods: Lab) -> None:
    environment = {"KUBECONFIG": str(lab_with_pods.kubeconfig)}
    made = await kubectl(environment, "-n", "default", "create", "deployment", "found", "--image=x", "--replicas=2")
    assert made.code == 0, made.stderr
    await kubectl(environment, "-n", "default", "wait", "--for=condition=Available", "deployment/found")
    hosts = {
        (await lab_with_pods.exec(name, "hostname")).check() for name in ("found", "default/found", "deploy/found")
    }
    assert len(hosts) == 1
    assert hosts.pop().startswith("found-")
    assert (await lab_with_pods.exec("deploy/none", "hostname")).code == 6
    await kubectl(environment, "-n", "default", "delete", "deployment", "found")


async def test_the_last_lines_of_a_log_come_first_and_new_ones_after_them(lab_with_pods: Lab) -> None:
    words = ["kubectl", "-n", SPACE, "logs", "-f", "shell", "--tail=1"]
    environment = {**os.environ, "KUBECONFIG": str(lab_with_pods.kubeconfig)}
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, env=environment)
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode().split() for _ in range(3)]
    process.terminate()
    await process.communicate()
    numbers = [int(number) for _, number in lines]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
