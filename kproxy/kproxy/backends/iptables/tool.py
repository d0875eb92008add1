"""The iptables commands of one flavour, on one host."""

from __future__ import annotations

import re
from enum import StrEnum
from subprocess import CompletedProcess

from kproxy.errors import CommitFailed, Unavailable
from kproxy.host import Host

_WAIT_SECONDS = "5"  # for the lock that all users of iptables-legacy share
_COMMAND = {4: "iptables", 6: "ip6tables"}


class Flavour(StrEnum):
    """Which kernel interface the rules are written to; "" is the one the host's `iptables` stands for."""

    HOST = ""
    LEGACY = "-legacy"
    NFT = "-nft"


class Tool:
    """Runs `iptables-restore` and `iptables-save`, and says what went wrong."""

    def __init__(self, host: Host, flavour: Flavour) -> None:
        self._host = host
        self._flavour = flavour

    def restore(self, family: int, text: str) -> None:
        """Carry out the lines, each table in one step. Raises CommitFailed."""
        if text:
            command = [self._name(family, "restore"), "-w", _WAIT_SECONDS, "--noflush"]
            self._checked(command, text)

    def save(self, family: int) -> str:
        """List every table there is. Raises CommitFailed."""
        return self._checked([self._name(family, "save")]).stdout.decode()

    def _name(self, family: int, verb: str) -> str:
        return f"{_COMMAND[family]}{self._flavour}-{verb}"

    def _checked(self, command: list[str], given: str = "") -> CompletedProcess[bytes]:
        try:
            ran = self._host.run(command, given.encode())
        except FileNotFoundError as error:
            raise Unavailable(f"the command {command[0]} is not installed (Debian package iptables)") from error
        if ran.returncode:
            raise CommitFailed(f"{command[0]}: {_cause(ran.stderr.decode(), given)}")
        return ran


def _cause(said: str, given: str) -> str:
    """Give the tool's words in one line, with the rule they are about."""
    words = " ".join(line.strip() for line in said.splitlines() if line.strip() and "--help" not in line)
    place = re.search(r"line:? (\d+)", said)
    lines = given.splitlines()
    about = lines[int(place[1]) - 1] if place and int(place[1]) <= len(lines) else ""
    return f"{words} ({about})" if about else words or "it failed without a word"
