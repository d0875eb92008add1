"""A lab as a Python object, for tests and scripts: `async with Lab() as lab: ...`.

It is the lab of the command line: started in processes of its own, and gone at the end of the block, whatever
happens in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from kapi import kubeconfig
from kapi.client import Client
from netnslab.config import DEFAULT_BACKEND, DEFAULT_NODES
from netnslab.errors import LabError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What a command came to."""

    code: int
    stdout: str
    stderr: str

    def check(self) -> str:
        """Give the output of a command that succeeded; raises LabError with the errors of one that did not."""
        if self.code:
            raise LabError(f"the command ended with {self.code}: {(self.stderr or self.stdout).strip()}")
        return self.stdout


class Lab:
    """One lab for the length of an `async with` block. `status` is what `netns-lab status --json` told at its start.

    Raises LabError, with what the lab said, when it cannot be started.
    """

    def __init__(
        self,
        *,
        nodes: int = DEFAULT_NODES,
        backend: str = DEFAULT_BACKEND,
        manifests: Sequence[Path] = (),
        name: str | None = None,
    ) -> None:
        self.name = name or f"t-{uuid.uuid4().hex[:10]}"
        self.status: Json = {}
        self._options = [f"--nodes={nodes}", f"--backend={backend}", *(f"--file={path}" for path in manifests)]
        self._client: Client | None = None

    async def __aenter__(self) -> Lab:
        await self.start()
        self._client = kubeconfig.client_from(self.kubeconfig, None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()
        await self.stop()

    async def start(self) -> None:
        """Start the lab, for who cannot use `async with` around all of its life."""
        try:
            self.status = json.loads((await self.command("up", "--json", *self._options)).check())
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the lab; it may have ended already."""
        await self.command("down")

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Lab]:
        """Give a lab that `start` has started a client of this event loop, for the length of a block."""
        self._client = kubeconfig.client_from(self.kubeconfig, None)
        try:
            yield self
        finally:
            await self._client.close()
            self._client = None

    @property
    def client(self) -> Client:
        """A client of the lab's API, over HTTP."""
        assert self._client is not None, "the lab is used outside of its `async with` block"
        return self._client

    @property
    def kubeconfig(self) -> Path:
        """The lab's kubeconfig."""
        return Path(self.status["kubeconfig"])

    async def command(self, verb: str, *arguments: str) -> Result:
        """Run a verb of `netns-lab` on this lab."""
        return await run(sys.executable, "-m", "netnslab.cli", verb, f"--name={self.name}", *arguments)

    async def exec(self, target: str, *argv: str) -> Result:
        """Run a command in a pod, on a node (`node/NAME`), on the router or on the client."""
        return await self.command("exec", target, "--", *argv)

    async def kubectl(self, *arguments: str, given: str = "") -> Result:
        """Run kubectl against the lab; `given` is its standard input."""
        return await run("kubectl", *arguments, env={"KUBECONFIG": str(self.kubeconfig)}, given=given)


async def run(*argv: str, env: Json | None = None, given: str = "") -> Result:
    """Run a command of the host to its end."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    try:
        out, err = await process.communicate(given.encode())
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return Result(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))
