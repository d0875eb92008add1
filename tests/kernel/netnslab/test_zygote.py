from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from netnslab.child import Program
from netnslab.errors import LabError
from netnslab.kernel import Namespace
from netnslab.processes import Processes

Until = Callable[..., Awaitable[None]]


def read(path: Path) -> str:
    """What a file has in it; nothing where there is none."""
    return path.read_text() if path.exists() else ""


def children(pid: int) -> list[Path]:
    """The folders below /proc of a process's children."""
    return [Path("/proc", child) for child in read(Path(f"/proc/{pid}/task/{pid}/children")).split()]


async def output(processes: Processes, namespace: Namespace, log: Path, *argv: str, **rest: object) -> str:
    """Run a command to its end and give what it wrote."""
    env = {"PATH": os.environ["PATH"]}
    program = Program(list(argv), **{"env": env, "log": str(log), **rest})  # type: ignore[arg-type]  # test data
    process = await processes.start(program, [namespace.fd])
    await process.wait()
    return read(log)


async def test_a_command_runs_in_the_namespace_it_was_given(
    processes: Processes, namespace: Namespace, log: Path
) -> None:
    with namespace.entered():
        inside = os.readlink("/proc/thread-self/ns/net")  # noqa: PTH115  # shorter
    assert await output(processes, namespace, log, "readlink", "/proc/self/ns/net") == inside + "\n"


async def test_a_program_has_its_own_host_name_files_variables_and_folder(
    processes: Processes, namespace: Namespace, log: Path, tmp_path: Path
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.1 one\n")
    script = "hostname; cat /etc/hosts; echo $COLOUR; pwd; echo ${HOME:-none}"
    env = {"COLOUR": "red", "PATH": os.environ["PATH"]}
    shown = await output(
        processes, namespace, log, "sh", "-c", script,
        env=env, hostname="web-1", files={"/etc/hosts": str(hosts)}, cwd=str(tmp_path),
    )  # fmt: skip
    assert shown == f"web-1\n192.0.2.1 one\nred\n{tmp_path}\nnone\n"
    assert read(Path("/etc/hosts")) != read(hosts)
    assert socket.gethostname() != "web-1"


async def test_sys_shows_the_links_of_the_namespace(processes: Processes, namespace: Namespace, log: Path) -> None:
    assert await output(processes, namespace, log, "ls", "/sys/class/net") == "lo\n"


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 42"], 42),
        (["sh", "-c", "kill -9 $$"], -9),
        (["no-such-command-here"], 127),
        (["/etc/hosts"], 126),
    ],
)
async def test_the_end_of_a_program_is_told(
    processes: Processes, namespace: Namespace, argv: list[str], code: int
) -> None:
    program = Program(argv, env={"PATH": os.environ["PATH"]})
    process = await processes.start(program, [namespace.fd])
    assert await process.wait() == code
    assert not process.running


async def test_a_built_in_is_called_without_a_new_interpreter(
    processes: Processes, namespace: Namespace, log: Path
) -> None:
    text = await output(processes, namespace, log, "echo", "--help", entry="netnslab.echo:main")
    assert text.startswith("usage: echo")


async def test_a_built_in_that_fails_leaves_its_traceback_in_its_log(
    processes: Processes, namespace: Namespace, log: Path
) -> None:
    text = await output(processes, namespace, log, "nothing", entry="netnslab.echo:no_such_function")
    assert "AttributeError" in text


async def test_a_program_gets_the_callers_own_descriptors(processes: Processes, namespace: Namespace) -> None:
    read, write = os.pipe()
    program = Program(["sh", "-c", "cat; echo error >&2"], env={"PATH": os.environ["PATH"]}, standard=True)
    given, giving = os.pipe()
    os.write(giving, b"from the caller\n")
    os.close(giving)
    process = await processes.start(program, [namespace.fd, given, write, write])
    await process.wait()
    os.close(write)
    os.close(given)
    with os.fdopen(read) as shown:
        assert shown.read() == "from the caller\nerror\n"


async def test_a_program_finds_extra_descriptors_from_three_on_and_no_others(
    processes: Processes, namespace: Namespace, log: Path
) -> None:
    with socket.socket() as extra:
        program = Program(
            ["sh", "-c", "ls /proc/$$/fd | tr '\\n' ' '; readlink /proc/$$/fd/3"],
            env={"PATH": os.environ["PATH"]}, log=str(log), extra=1,
        )  # fmt: skip
        process = await processes.start(program, [namespace.fd, extra.fileno()])
        await process.wait()
        inode = os.fstat(extra.fileno()).st_ino
    numbers, _, link = read(log).partition("socket:")
    assert numbers.split()[:4] == ["0", "1", "2", "3"]
    assert link == f"[{inode}]\n"


async def test_a_signal_reaches_the_whole_process_group(
    processes: Processes, namespace: Namespace, until: Until
) -> None:
    program = Program(["sh", "-c", "sleep 100 & wait"], env={"PATH": os.environ["PATH"]})
    process = await processes.start(program, [namespace.fd])
    await until(lambda: children(process.pid))
    below = children(process.pid)
    assert await process.stop(5) == -signal.SIGTERM
    await until(lambda: not any(child.exists() for child in below))


async def test_who_ignores_sigterm_is_killed_after_the_grace_period(
    processes: Processes, namespace: Namespace, log: Path, until: Until
) -> None:
    script = "trap '' TERM; echo on; while :; do sleep 0.05; done"
    program = Program(["sh", "-c", script], env={"PATH": os.environ["PATH"]}, log=str(log))
    process = await processes.start(program, [namespace.fd])
    await until(lambda: read(log))
    assert await process.stop(0.2) == -signal.SIGKILL


async def test_many_programs_run_at_once(processes: Processes, namespace: Namespace) -> None:
    program = Program(["sh", "-c", "exit 5"], env={"PATH": os.environ["PATH"]})
    running = await asyncio.gather(*(processes.start(program, [namespace.fd]) for _ in range(60)))
    assert await asyncio.gather(*(process.wait() for process in running)) == [5] * 60


async def test_an_orphan_is_reaped(processes: Processes, namespace: Namespace, log: Path, until: Until) -> None:
    await output(processes, namespace, log, "sh", "-c", "sh -c 'echo $$; sleep 0.1' &")
    await until(lambda: read(log))
    await until(lambda: not Path("/proc", read(log).strip()).exists())


async def test_a_containers_end_is_told_when_all_of_its_process_group_has_gone(
    processes: Processes, namespace: Namespace, log: Path
) -> None:
    script = (
        "trap '' TERM; for i in 1 2 3; do (sh -c 'sleep 100; :' & wait) & done; sleep 0.1; ps -o pid= -g $$; exit 3"
    )
    program = Program(["sh", "-c", script], env={"PATH": os.environ["PATH"]}, log=str(log), whole=True)
    process = await processes.start(program, [namespace.fd])
    assert await process.wait() == 3
    group = read(log).split()
    assert len(group) > 6
    assert not [pid for pid in group if read(Path("/proc", pid, "stat"))]


async def test_what_a_command_leaves_behind_runs_on(processes: Processes, namespace: Namespace, log: Path) -> None:
    left = await output(processes, namespace, log, "sh", "-c", "sleep 100 & echo $!")
    os.kill(int(left), signal.SIGKILL)


async def test_a_container_can_be_followed_at_once_by_one_on_the_same_port(
    processes: Processes, namespace: Namespace, log: Path
) -> None:
    listen = "import os, socket, time; s = socket.create_server(('', 8080)); os.fork() or time.sleep(100)"
    program = Program([sys.executable, "-c", listen], env={}, log=str(log), whole=True)
    for _ in range(3):
        process = await processes.start(program, [namespace.fd])
        assert await process.wait() == 0, read(log)


async def test_the_end_of_the_zygote_is_noticed(processes: Processes, namespace: Namespace) -> None:
    process = await processes.start(Program(["sleep", "100"], env={"PATH": os.environ["PATH"]}), [namespace.fd])
    status = read(Path(f"/proc/{process.pid}/status"))
    parent = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))
    os.kill(parent, signal.SIGKILL)
    await asyncio.wait_for(processes.lost, 5)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(LabError, match="zygote"):
        await processes.start(Program(["true"]), [namespace.fd])
