"""The command as people run it: its own process, a cluster over HTTP, records of one's own, signals."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.ports import unused_port

from kapi.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore
from kdns.cli import main
from kdns.testing import endpoint_slice, namespace, service

Dig = Callable[..., list[str]]
CLUSTER = "cluster.local"


@contextmanager
def command(*flags: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command, running, and the port it answers on."""
    words = [sys.executable, "-m", "kdns", "--listen", "127.0.0.1:0", *flags]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1 port (\d+)", line)
            assert found, line
            yield process, int(found[1])
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_records_of_ones_own_need_no_cluster_and_a_signal_ends_it_cleanly(dig: Dig, number: signal.Signals) -> None:
    with command("--record", "db.example=10.0.0.5", "--record", "db.example=fd00::5", "--no-forward") as (
        process,
        port,
    ):
        assert dig(port, "db.example", "+short") == ["10.0.0.5"]
        assert dig(port, "db.example", "AAAA", "+short") == ["fd00::5"]
        assert dig(port, "-x", "10.0.0.5", "+short") == ["db.example."]
        assert dig(port, "other.example", "+short") == []
        assert ended(process, number) == (0, "")


async def test_the_names_of_a_live_cluster_follow_its_api(dig: Dig) -> None:
    async with ApiServer(MemoryStore()) as api:
        sock = listening()
        await api.listen(sock)
        client = api.client()
        await client.create(SERVICES, service("web", ips=["10.96.77.7"], ports=["http:80"]))
        server = f"http://127.0.0.1:{sock.getsockname()[1]}"
        await asyncio.to_thread(live, dig, server, client, asyncio.get_running_loop())


def live(dig: Dig, server: str, client: Any, loop: asyncio.AbstractEventLoop) -> None:
    def now(job: Any) -> None:
        asyncio.run_coroutine_threadsafe(job, loop).result(5)

    health = unused_port()
    with command("--server", server, "--health", f"127.0.0.1:{health}", "--no-forward") as (process, port):
        eventually(lambda: fetched(health, "/ready"), (200, "OK\n"))
        assert fetched(health, "/health") == (200, "OK\n")
        assert dig(port, f"web.default.svc.{CLUSTER}", "+short") == ["10.96.77.7"]
        now(client.create(NAMESPACES, namespace("shop")))
        now(client.create(SERVICES, service("db", namespace="shop", ports=["pg:5432"])))
        now(
            client.create(
                ENDPOINT_SLICES, endpoint_slice("db-1", "db", ["10.1.2.3"], namespace="shop", ports=["pg:5432"])
            )
        )
        eventually(lambda: dig(port, f"db.shop.svc.{CLUSTER}", "+short"), ["10.1.2.3"])
        now(client.delete(SERVICES, "web", "default"))
        eventually(lambda: dig(port, f"web.default.svc.{CLUSTER}", "+short"), [])
        code, errors = ended(process, signal.SIGTERM)
        assert (code, "Traceback" in errors) == (0, False), errors


def test_without_its_cluster_it_says_servfail_and_is_not_ready(dig: Dig) -> None:
    health = unused_port()
    server = f"http://127.0.0.1:{unused_port()}"
    with command("--server", server, "--health", f"127.0.0.1:{health}", "--no-forward") as (_, port):
        assert fetched(health, "/ready") == (503, "cluster\n")
        assert fetched(health, "/health") == (200, "OK\n")
        found = subprocess.run(
            ["dig", "@127.0.0.1", "-p", str(port), f"web.default.svc.{CLUSTER}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "status: SERVFAIL" in found.stdout


def test_a_lame_duck_answers_on_while_its_health_fails(dig: Dig) -> None:
    health = unused_port()
    flags = ["--record", "db.example=10.0.0.5", "--no-forward", "--lameduck", "1", "--health", f"127.0.0.1:{health}"]
    with command(*flags) as (process, port):
        assert fetched(health, "/health") == (200, "OK\n")
        process.send_signal(signal.SIGTERM)
        eventually(lambda: fetched(health, "/health"), (503, "stopping\n"))
        assert fetched(health, "/ready") == (503, "stopping\n")
        assert dig(port, "db.example", "+short") == ["10.0.0.5"]
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--listen", "here"], "'here' is not ADDRESS:PORT, such as 127.0.0.1:53 or [::1]:53"),
        (["--listen", "127.0.0.1:70000"], "is not ADDRESS:PORT"),
        (["--record", "db"], "'db' is not NAME=ADDRESS, such as db.example=10.0.0.5"),
        (["--record", "a..b=10.0.0.1"], "is not NAME=ADDRESS"),
        (["--record", "db.example=here"], "is not NAME=ADDRESS"),
        (["--reverse", "all"], "'all' is not a network"),
        (["--upstream", "dns.example"], "is not ADDRESS"),
        (["--stub", "corp.example"], "is not ZONE=ADDRESS[:PORT], such as corp.example=10.0.0.53"),
        (["--zone", "cluster local"], "is no host name"),
        (["--ttl", "-1"], "seconds"),
        (["--lameduck", "soon"], "'soon' is not a number of seconds"),
    ],
)
def test_a_wrong_flag_is_named_with_what_it_should_be(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["=".join(flags)])
    assert ending.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--zone=example", "--no-forward", "--record=a.example=10.0.0.1", "--log=json"])
def test_what_a_corefile_says_no_flag_says_beside_it(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["--corefile", "Corefile", flag])
    assert ending.value.code == 2
    assert f"{flag.partition('=')[0]} and --corefile exclude each other" in capsys.readouterr().err


def test_a_server_on_a_node_must_know_the_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--node-local", "169.254.20.10"]) == 1
    assert "--node-local needs to know the cluster: from --upstream" in capsys.readouterr().err


def test_an_address_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert main(["--listen", f"127.0.0.1:{port}", "--record", "a.example=10.0.0.1"]) == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in capsys.readouterr().err


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert "kdns --record db.example=10.0.0.5" in told
    assert "exit codes" in told


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def fetched(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def eventually(look: Callable[[], Any], wanted: Any) -> None:
    deadline = time.monotonic() + 10
    while (seen := look()) != wanted:
        assert time.monotonic() < deadline, f"still {seen!r}, not {wanted!r}"
        time.sleep(0.02)
