from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kapi.resources import PODS
from netnslab import remote, state
from netnslab.lab import Lab, Result, run

YAML = """
apiVersion: v1
kind: ConfigMap
metadata: {name: from-file}
data: {key: value}
---
apiVersion: v1
kind: Pod
metadata: {name: from-file}
spec: {containers: [{name: main, image: nginx}]}
"""


def traces(name: str) -> set[str]:
    """What could be left of a lab: processes that mention it or run in namespaces of their own, links, folders."""
    own = Path("/proc/self/ns/net").readlink()
    found = {f"link {link.name}" for link in Path("/sys/class/net").iterdir()}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if name.encode() in (path / "cmdline").read_bytes() and (path / "ns/net").readlink() != own:
                found.add(f"process {path.name}")
        except OSError:
            continue
    return found | {f"folder {path}" for path in state.base().glob(name)}


async def netns_lab(*arguments: str) -> Result:
    return await run(sys.executable, "-m", "netnslab.cli", *arguments)


async def test_a_lab_comes_up_quickly_and_goes_without_a_trace() -> None:
    lab = Lab(nodes=2)
    before = traces(lab.name)
    async with lab:
        assert traces(lab.name) - before
        assert [node["name"] for node in lab.status["nodes"]] == ["control-plane", "worker-1"]
        assert all(pod["ready"] for node in lab.status["nodes"] for pod in node["pods"])
        answer = (await lab.exec("client", "dig", "+short", "legacy.outside.test")).check()
        assert answer == "198.51.100.10\n"
    assert traces(lab.name) == before


@pytest.mark.parametrize("victim", ["process 1", "zygote"])
async def test_a_lab_that_is_killed_leaves_no_process_namespace_or_link(
    victim: str, until: Callable[..., Awaitable[None]]
) -> None:
    lab = Lab(nodes=1)
    before = traces(lab.name)
    async with lab:
        folder = state.LabFolder.of(lab.name)
        one = remote.process_of(folder)
        running = {line for line in traces(lab.name) if line.startswith("process")}
        assert len(running) >= 5
        zygote = next(int(p.split()[1]) for p in running if comm(p.split()[1]) == "lab-zygote")
        os.kill(one if victim == "process 1" else zygote, signal.SIGKILL)
        await until(lambda: not any(line.startswith("process") for line in traces(lab.name) - before))
        assert (await netns_lab("status", f"--name={lab.name}")).code == 3
    assert traces(lab.name) == before
    folder.last_log.unlink()


def comm(pid: str) -> str:
    return Path("/proc", pid, "comm").read_text().strip()


async def test_two_labs_live_side_by_side_and_a_name_is_taken_once() -> None:
    async with Lab(nodes=1) as one, Lab(nodes=1) as two:
        again = await one.command("up", "--nodes=1")
        assert again.code == 5
        assert f"the lab '{one.name}' is running already" in again.stderr
        listed = json.loads((await netns_lab("list", "--json")).stdout)
        assert {one.name, two.name} <= set(listed)
        for lab in (one, two):
            assert lab.status["nodes"][0]["addresses"][0] == "172.30.0.10"
            assert (await lab.exec("client", "curl", "-so", "/dev/null", "http://203.0.113.1/")).code == 0


async def test_exec_passes_on_input_output_and_exit_code() -> None:
    async with Lab(nodes=1) as lab:
        given = await run(
            sys.executable, "-m", "netnslab.cli", "exec", f"--name={lab.name}", "client", "--",
            "sh", "-c", "cat; echo oops >&2; exit 9", given="hello",
        )  # fmt: skip
        assert (given.code, given.stdout, given.stderr) == (9, "hello", "oops\n")
        assert (await lab.exec("node/control-plane", "hostname")).stdout == "control-plane\n"
        assert (await lab.exec("client", "no-such-command")).code == 127
        assert (await lab.exec("kube-system/ingress", "hostname")).stdout.startswith("ingress-")  # one of a Deployment
        nobody = await lab.exec("ingres", "true")
        assert nobody.code == 6
        assert "did you mean kube-system/ingress-" in nobody.stderr


async def test_exec_gives_a_terminal_where_there_is_one() -> None:
    async with Lab(nodes=1) as lab:
        words = f"{sys.executable} -m netnslab.cli exec --name={lab.name} client -- sh -c 'test -t 0 && tty; exit 4'"
        result = await run("script", "-qec", words, "/dev/null")
        assert "/dev/pts/" in result.stdout
        assert result.code == 4


async def test_manifests_are_applied_by_up(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(YAML)
    async with Lab(nodes=1, manifests=[file]) as lab:
        shown = await lab.kubectl("get", "configmap", "from-file", "-o", "jsonpath={.data.key}")
        assert shown.stdout == "value"
        waited = await lab.kubectl("wait", "--for=condition=Ready", "pod/from-file", "--timeout=10s")
        assert waited.code == 0, waited.stderr


async def test_an_object_that_is_refused_ends_up_with_its_name_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(YAML.replace("containers: [{name: main, image: nginx}]", "containers: []"))
    result = await netns_lab("up", "--name=t-refused", "--nodes=1", "-f", str(file))
    assert result.code == 2, result.stderr
    assert "Pod from-file was refused" in result.stderr
    assert traces("t-refused") == traces("t-none")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["up", "--nodes=0"], 2, "between 1 and 200 nodes, not 0"),
        (["up", "--name=a/b"], 2, "cannot be a lab's name"),
        (["up", "--backend=magic"], 2, "there is no backend 'magic': choose one of nftables"),
        (["up", "-f", "/nowhere.yaml"], 2, "/nowhere.yaml cannot be read"),
        (["up", "--api-port=1000000"], 1, "port 1000000"),
        (["status", "--name=nobody"], 3, "no lab 'nobody' runs"),
        (["down", "--name=nobody"], 3, "no lab 'nobody' runs"),
        (["exec", "--name=nobody", "client", "--", "true"], 3, "no lab 'nobody' runs"),
        (["kubeconfig", "--name=nobody"], 3, "netns-lab up --name nobody"),
        (["nonsense"], 2, "invalid choice"),
    ],
)
async def test_what_cannot_be_done_is_told_in_a_sentence_and_an_exit_code(
    arguments: list[str], code: int, words: str
) -> None:
    name = [] if any("--name" in word for word in arguments) or arguments == ["nonsense"] else ["--name=t-wrong"]
    result = await netns_lab(*arguments, *name)
    assert (result.code, words in result.stderr) == (code, True), result.stderr
    assert "Traceback" not in result.stderr
    assert not list(state.base().glob("t-wrong"))


async def test_an_up_that_is_interrupted_leaves_nothing() -> None:
    lab = Lab(nodes=3)
    before = traces(lab.name)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "netnslab.cli", "up", f"--name={lab.name}", stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    await process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 130
    assert traces(lab.name) == before


async def test_the_folder_of_a_killed_lab_is_taken_over_by_the_next(tmp_path: Path) -> None:
    lab = Lab(nodes=1)
    async with lab:
        remote.kill(remote.process_of(state.LabFolder.of(lab.name)))
        await lab.start()
        assert (await lab.command("status", "--json")).code == 0


async def test_a_lab_that_ended_unexpectedly_leaves_its_log_and_every_command_says_so() -> None:
    lab = Lab(nodes=1)
    folder = state.LabFolder.of(lab.name)
    async with lab:
        remote.kill(remote.process_of(folder))
        for verb in ("status", "kubeconfig", "logs", "down"):
            told = await lab.command(verb)
            assert told.code == 3
            assert "the last one ended unexpectedly at 2" in told.stderr
            assert str(folder.last_log) in told.stderr
        assert not folder.path.exists()
        assert "kapi" in folder.last_log.read_text() or "netnslab" in folder.last_log.read_text()
        await lab.start()
        assert folder.last_log.exists()
    assert not folder.last_log.exists()


async def test_a_lab_that_is_told_to_end_by_a_signal_leaves_nothing(until: Callable[..., Awaitable[None]]) -> None:
    lab = Lab(nodes=1)
    async with lab:
        folder = state.LabFolder.of(lab.name)
        os.kill(remote.process_of(folder), signal.SIGTERM)
        await until(lambda: not folder.path.exists())
        assert "unexpectedly" not in (await lab.command("status")).stderr


async def test_no_signal_from_a_pod_to_process_1_ends_the_lab() -> None:
    async with Lab(nodes=1) as lab:
        one = remote.process_of(state.LabFolder.of(lab.name))
        for number in ("TERM", "INT", "HUP", "KILL"):
            told = await lab.kubectl("-n", "kube-system", "exec", "deploy/ingress", "--", "kill", f"-{number}", "1")
            assert told.code == 0, told.stderr
        assert remote.process_of(state.LabFolder.of(lab.name)) == one
        assert (await lab.exec("client", "true")).code == 0


@pytest.mark.parametrize("after", [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6])
async def test_what_is_left_of_a_lab_whose_start_was_killed_is_ended_by_down(after: float) -> None:
    lab = Lab(nodes=1)
    before = traces(lab.name)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "netnslab.cli", "up", f"--name={lab.name}", "--nodes=1", stderr=subprocess.DEVNULL
    )
    await asyncio.sleep(after)
    process.kill()
    await process.wait()
    ended = await lab.command("down")
    assert ended.code in (0, 3), ended.stderr
    assert traces(lab.name) == before


async def test_commands_that_race_for_a_name_end_as_they_should_and_leave_no_lab() -> None:
    lab = Lab(nodes=1)
    before = traces(lab.name)
    right = {"up": {0, 1, 5, 130}, "down": {0, 3}, "status": {0, 1, 3}}  # 1: it is only starting, or has just ended

    async def later(verb: str, after: float) -> None:
        await asyncio.sleep(after)
        told = await lab.command(verb, *(("--nodes=1",) if verb == "up" else ()))
        assert told.code in right[verb], f"{verb}: {told.code}: {told.stderr}"
        assert "Traceback" not in told.stderr

    moments = random.Random(os.environ.get("SEED"))
    verbs = ["up"] * 3 + ["down"] * 4 + ["status"] * 4
    await asyncio.gather(*(later(verb, moments.uniform(0, 1.5)) for verb in verbs))
    assert (await lab.command("down")).code in right["down"]
    assert traces(lab.name) == before


async def test_a_pod_in_which_nothing_can_be_run_says_why_and_shells_know_the_others() -> None:
    def pod(name: str, container: dict[str, object], **spec: object) -> dict[str, object]:
        rest = {"containers": [{"name": "main", "image": "x", **container}], **spec}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": rest}

    async with Lab(nodes=1) as lab:
        await lab.client.create(PODS, pod("over", {"command": ["true"]}, restartPolicy="Never"), "default")
        await lab.client.create(PODS, pod("waits", {}, nodeSelector={"no": "such"}), "default")
        waited = await lab.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/over", "--timeout=10s")
        assert waited.code == 0, waited.stderr
        over = await lab.exec("over", "true")
        assert (over.code, "pod default/over has ended" in over.stderr) == (1, True), over.stderr
        waits = await lab.exec("waits", "true")
        assert waits.code == 6
        assert "pod default/waits does not run: it is Pending" in waits.stderr
        words = (await lab.command("words", "targets")).stdout.split()
        assert {"over", "node/control-plane", "client", "router"} <= set(words)
        assert lab.name in (await lab.command("words", "labs")).stdout.split()
