"""Several processes that share the work: each binds the same places (SO_REUSEPORT) and holds all names.

They are forked before any event loop exists. Each writes once a second what it counts and waits for into a file that
has no name (memfd_create(2)); the first one adds all up and tells it over HTTP.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kapi import component
from kdns import metrics
from kdns.errors import DnsError
from kdns.settings import Configuration

if TYPE_CHECKING:
    from kdns.app import App

log = logging.getLogger(__name__)

_SHARING = 1.0  # seconds between two accounts


@dataclass(frozen=True, slots=True)
class Worker:
    """One of the processes. `accounts` are the files of all, in order; `secret` makes the cookies of all."""

    index: int
    accounts: tuple[int, ...]
    secret: bytes

    @property
    def first(self) -> bool:
        """Whether this one speaks for all."""
        return self.index == 0

    async def share(self, app: App) -> None:
        """Write the account every second until cancelled."""
        while True:
            account = json.dumps([list(app.waiting), list(app.numbers())]).encode()
            os.pwrite(self.accounts[self.index], len(account).to_bytes(8, "big") + account, 0)
            await asyncio.sleep(_SHARING if not app.waiting else _SHARING / 20)

    def waiting(self) -> list[str]:
        """Tell what any worker waits for."""
        return list(dict.fromkeys(name for waiting, _ in self._read() for name in waiting))

    def numbers(self) -> str:
        """Tell the numbers of all workers, added up."""
        return metrics.text(metrics.added(line for _, lines in self._read() for line in lines))

    def _read(self) -> list[tuple[list[str], list[tuple[str, str, str]]]]:
        return [_account(file) for file in self.accounts]


def _account(file: int) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Read one account; a torn one is read again."""
    for _ in range(10):
        size = int.from_bytes(os.pread(file, 8, 0), "big")
        try:
            waiting, lines = json.loads(os.pread(file, size, 8))
        except ValueError:
            continue
        return waiting, [(name, kind, line) for name, kind, line in lines]
    return ["a worker"], []


def run(configuration: Configuration, serve: Callable[[Worker], int]) -> int:
    """Fork the workers and wait for them: signals go to all, and where one ends unasked, all end."""
    accounts = tuple(os.memfd_create(f"kdns-{index}") for index in range(configuration.workers))
    secret = secrets.token_bytes(16)
    children: list[int] = []
    for index in range(configuration.workers):
        pid = os.fork()
        if not pid:
            os._exit(_child(serve, Worker(index, accounts, secret)))
        children.append(pid)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: _signal(children, received))
    return _wait(children)


def _child(serve: Callable[[Worker], int], worker: Worker) -> int:
    try:
        return component.exit_code("kdns", lambda: serve(worker), {DnsError: component.FAILED})
    except BaseException:  # the outermost edge of a process: it may not run on in its parent's code
        log.exception("worker %d ends", worker.index)
        return 1


def _signal(children: list[int], number: int) -> None:
    for pid in children:
        os.kill(pid, number)


def _wait(children: list[int]) -> int:
    worst = 0
    while children:
        pid, status = os.wait()
        children.remove(pid)
        code = os.waitstatus_to_exitcode(status)
        if code and not worst:
            worst = 1
            log.error("worker process %d ended with %d; the others are ended, too", pid, code)
            _signal(children, signal.SIGTERM)
    return worst
