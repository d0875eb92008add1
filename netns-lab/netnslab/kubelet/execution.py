"""Runs a command in a container for a client of the API, and carries its input and output."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import FileIO

from kapi.server.kubelets import Read, Streams, Write
from netnslab.child import Program
from netnslab.descriptors import carry_in, carry_out
from netnslab.kubelet import launch
from netnslab.kubelet.launch import Place
from netnslab.processes import Process

_END_OF_INPUT = b"\x04"  # what a terminal takes for it


@dataclass(frozen=True, slots=True)
class Ends:
    """Our ends of a program's input and output. With a terminal all are the same one, and `errors` is None."""

    given: FileIO | None
    output: FileIO | None
    errors: FileIO | None
    terminal: bool = False


async def execute(place: Place, command: Sequence[str], streams: Streams) -> int:
    """Run a command in a container and give its exit code. Cancelling this ends the command.

    Raises LabError when it cannot be started.
    """
    program = _program(place, command, terminal=streams.terminal)
    with ExitStack() as ours:
        with ExitStack() as theirs:
            ends, descriptors = (_terminal if streams.terminal else _pipes)(streams, ours, theirs)
            handed = [place.sandbox.namespace.fd, *(one.fileno() for one in descriptors)]
            process = await place.surroundings.processes.start(program, handed)
        try:
            code = await _carried(process, ends, streams)
        finally:
            process.signal(signal.SIGKILL)  # where this was cancelled; a process that has ended gets nothing
    return 128 - code if code < 0 else code


def _program(place: Place, command: Sequence[str], *, terminal: bool) -> Program:
    program = launch.program(place, list(command))
    env = program.env | (launch.prompt(place.pod.hostname) | {"TERM": "xterm"} if terminal else {})
    return replace(program, env=env, log="", standard=True, terminal=terminal)


async def _carried(process: Process, ends: Ends, streams: Streams) -> int:
    """Carry everything until the program has ended and all that it printed is told."""
    outputs = [asyncio.create_task(carry_out(fd, write, process.ended)) for fd, write in _outputs(ends, streams)]
    inputs = [asyncio.create_task(_feed(ends, streams.stdin)), asyncio.create_task(_resize(ends, streams))]
    try:
        code = await process.wait()
        await asyncio.gather(*outputs)
    finally:
        for task in (*outputs, *inputs):
            task.cancel()
        await asyncio.gather(*outputs, *inputs, return_exceptions=True)
    return code


def _outputs(ends: Ends, streams: Streams) -> Iterator[tuple[int, Write]]:
    for file, write in ((ends.output, streams.stdout), (ends.errors, streams.stderr)):
        if file is not None and write is not None:
            yield file.fileno(), write


async def _feed(ends: Ends, read: Read | None) -> None:
    if ends.given is None or read is None:
        return
    await carry_in(ends.given.fileno(), read)
    if ends.terminal:
        os.write(ends.given.fileno(), _END_OF_INPUT)
    else:
        ends.given.close()


async def _resize(ends: Ends, streams: Streams) -> None:
    if not ends.terminal or ends.output is None or streams.sizes is None:
        return
    while (size := await streams.sizes()) is not None:
        columns, rows = size
        fcntl.ioctl(ends.output.fileno(), termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


def _terminal(streams: Streams, ours: ExitStack, theirs: ExitStack) -> tuple[Ends, list[FileIO]]:
    near, far = pty.openpty()
    os.set_blocking(near, False)
    file = ours.enter_context(FileIO(near, "r+"))
    slave = theirs.enter_context(FileIO(far, "r+"))
    return Ends(file if streams.stdin else None, file, None, terminal=True), [slave] * 3


def _pipes(streams: Streams, ours: ExitStack, theirs: ExitStack) -> tuple[Ends, list[FileIO]]:
    given = program_in = output = program_out = errors = program_err = None
    if streams.stdin is not None:
        program_in, given = _pipe(theirs, ours)
    if streams.stdout is not None:
        output, program_out = _pipe(ours, theirs)
    if streams.stderr is not None:
        errors, program_err = _pipe(ours, theirs)
    for file in (given, output, errors):
        if file is not None:
            os.set_blocking(file.fileno(), False)
    nothing = theirs.enter_context(FileIO(os.devnull, "r+"))
    return Ends(given, output, errors), [file or nothing for file in (program_in, program_out, program_err)]


def _pipe(reading: ExitStack, writing: ExitStack) -> tuple[FileIO, FileIO]:
    """A pipe, each end of which closes with its stack."""
    end, start = os.pipe()
    return reading.enter_context(FileIO(end, "r")), writing.enter_context(FileIO(start, "w"))
