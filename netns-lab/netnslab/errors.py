"""What can go wrong with a lab.

LabError                    shown as one sentence on the command line; `exit_code` is its documented exit code
+-- KernelError             the kernel refused a system call or a netlink request
+-- Unsupported             this machine lacks something that the lab needs
+-- InvalidTopology         the topology asked for cannot be built
+-- InvalidManifest         a manifest cannot be read, or the API refuses an object of it
+-- AlreadyRunning          a lab of that name runs
+-- NotRunning              no lab of that name runs
+-- NotStarted              the lab ended while it was starting
+-- NoSuchTarget            there is no such pod, node or client in the lab
"""

from __future__ import annotations

import errno
from os import strerror
from typing import ClassVar


class LabError(Exception):
    """Anything the lab can fail with."""

    exit_code: ClassVar[int] = 1


class KernelError(LabError):
    """The kernel said no. `number` is the errno."""

    def __init__(self, tried: str, number: int, explanation: str = "") -> None:
        name = errno.errorcode.get(number, str(number))
        super().__init__(f"{tried}: {explanation or strerror(number)} ({name})")
        self.number = number


class Unsupported(LabError):
    """This machine lacks something that the lab needs; `netns-lab doctor` tells all of it."""

    exit_code = 4


class InvalidTopology(LabError):
    """The topology asked for cannot be built; the message names the value that is wrong."""

    exit_code = 2


class InvalidManifest(LabError):
    """A manifest cannot be read, or the API refuses an object of it; the message names the object."""

    exit_code = 2


class AlreadyRunning(LabError):
    """A lab of that name runs."""

    exit_code = 5


class NotRunning(LabError):
    """No lab of that name runs."""

    exit_code = 3


class NotStarted(LabError):
    """The lab ended while it was starting; the message says why, or where its log is."""


class NoSuchTarget(LabError):
    """There is no such pod, node or client in the lab."""

    exit_code = 6
