"""What a client shows to say who it is: a token that stays, one in a file, or what a program gives.

Exec plug-ins follow client.authentication.k8s.io/v1:
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from kapi.errors import ApiError

Json = dict[str, Any]

_FILE_GOOD_FOR = 60.0  # seconds a token that was read is used: a kubelet writes new ones long before the old ones end
_PLUGIN_PATIENCE = 60.0
_CERTIFICATE, _KEY = "clientCertificateData", "clientKeyData"

Show = Callable[[bytes, bytes], None]


class CredentialError(ApiError):
    """There is no credential to show: a file or a program that gives one failed."""


class Credentials(Protocol):
    """Where tokens come from."""

    async def token(self) -> str:
        """Give the token to show now; "" for none. Raises `CredentialError`."""
        ...

    def refused(self, token: str) -> bool:
        """Hear that the server did not take a token; says whether another one can be had."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """A token that stays as it is."""

    value: str = field(repr=False)

    async def token(self) -> str:
        """See `Credentials`."""
        return self.value

    def refused(self, _token: str) -> bool:
        """See `Credentials`."""
        return False


class TokenFile:
    """A token in a file that somebody keeps up to date, as the kubelet does for pods."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._value = ""
        self._read_at = float("-inf")

    async def token(self) -> str:
        """See `Credentials`."""
        if self._clock() - self._read_at >= _FILE_GOOD_FOR:
            try:
                self._value = self._path.read_text().strip()
            except OSError as error:
                raise CredentialError(f"the token cannot be read: {error}") from error
            self._read_at = self._clock()
        return self._value

    def refused(self, token: str) -> bool:
        """See `Credentials`: there may be another in the file."""
        if token == self._value:
            self._read_at = float("-inf")
        return True


@dataclass(frozen=True, slots=True)
class Plugin:
    """A program that gives credentials, as a kubeconfig's `exec` names it."""

    command: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    api_version: str = "client.authentication.k8s.io/v1"
    folder: Path = Path()


class Executed:
    """What a plug-in gives, asked for again when it ends: a token, or a certificate with its key, or both.

    `show` takes a certificate and its key (PEM) and has connections from then on show them.
    """

    def __init__(self, plugin: Plugin, show: Show, clock: Callable[[], float] = time.time) -> None:
        self._plugin = plugin
        self._show = show
        self._clock = clock
        self._value = ""
        self._good_until = float("-inf")
        self._running = asyncio.Lock()

    async def token(self) -> str:
        """See `Credentials`."""
        async with self._running:
            if self._clock() >= self._good_until:
                status = await _run(self._plugin)
                if status.get(_CERTIFICATE):
                    self._present(str(status[_CERTIFICATE]), str(status[_KEY]))
                self._value, self._good_until = str(status.get("token") or ""), _end(status)
            return self._value

    def _present(self, certificate: str, key: str) -> None:
        try:
            self._show(certificate.encode(), key.encode())
        except OSError as error:  # which ssl.SSLError is one of
            raise CredentialError(f"{self._plugin.command} gave a certificate that cannot be used: {error}") from error

    def refused(self, token: str) -> bool:
        """See `Credentials`: it ended before its time, or no time was told."""
        if token == self._value:
            self._good_until = float("-inf")
        return True


async def _run(plugin: Plugin) -> Json:
    """Run a plug-in; gives the status of its ExecCredential."""
    asked = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {**os.environ, **plugin.environment, "KUBERNETES_EXEC_INFO": json.dumps(asked)}
    command = plugin.command
    if "/" in command:
        command = str(plugin.folder / command)
    try:
        async with asyncio.timeout(_PLUGIN_PATIENCE):
            process = await asyncio.create_subprocess_exec(
                command, *plugin.arguments, env=environment, stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate()
        if process.returncode:
            raise CredentialError(f"{plugin.command} gave no credential: exit code {process.returncode}")
        status = json.loads(out)["status"]
    except (OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise CredentialError(f"{plugin.command} gave no credential: {error or type(error).__name__}") from error
    if not isinstance(status, dict) or not (status.get("token") or status.get(_CERTIFICATE) or status.get(_KEY)):
        raise CredentialError(f"{plugin.command} gave neither a token nor a client certificate with its key")
    for given, lacking in ((_CERTIFICATE, _KEY), (_KEY, _CERTIFICATE)):
        if status.get(given) and not status.get(lacking):
            raise CredentialError(f"{plugin.command} gave {given} without {lacking}")
    return status


def _end(status: Json) -> float:
    """Give the Unix time at which a credential ends; never, where it does not say."""
    text = status.get("expirationTimestamp")
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else float("inf")
    except ValueError:
        return float("inf")
