"""The certificate of a place that speaks TLS, followed as its files change: renewed ones need no restart.

Every handshake is given the certificate that was read last; connections that are open keep theirs.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from kdns.errors import SettingInvalid
from kdns.settings import Listen

log = logging.getLogger(__name__)

_LOOK = 1.0  # seconds between two looks at the files


class Certificate:
    """The certificate of `listen`; `context` is what a server is given. Raises `SettingInvalid` where there is none."""

    def __init__(self, listen: Listen) -> None:
        self._listen = listen
        self._seen = self._state()
        self.context = self._current = _loaded(listen)
        self.context.sni_callback = self._choose

    async def follow(self) -> None:
        """Look at the files every second until cancelled."""
        while True:
            await asyncio.sleep(_LOOK)
            self.look()

    def look(self) -> None:
        """Read the files again where they have changed; what is no certificate with its key changes nothing."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            self._current = _loaded(self._listen)
        except SettingInvalid as error:
            log.error("the certificate stays as it was: %s", error)
        else:
            log.info("%s has another certificate from now on", self._listen)

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        """Give a handshake the present certificate, whatever name it is for (SNI)."""
        connection.context = self._current

    def _state(self) -> tuple[tuple[int, ...], ...]:
        """Tell whether the files are others than before; links are followed, for Secrets are mounted so."""
        return tuple(_identity(Path(file)) for file in (self._listen.certificate, self._listen.key))


def _identity(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _loaded(listen: Listen) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(listen.certificate, listen.key)
    except (OSError, ssl.SSLError) as error:
        raise SettingInvalid(f"{listen}: {listen.certificate} and {listen.key} are no certificate: {error}") from error
    if listen.scheme == "https":
        context.set_alpn_protocols(["http/1.1"])
    return context
