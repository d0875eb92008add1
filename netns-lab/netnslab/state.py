"""What a lab keeps in the file system: one folder, which goes with the lab.

A lab that was killed cannot remove it; the next command does, and keeps the end of the lab's log beside it.

```
/run/netns-lab/NAME/          ($XDG_RUNTIME_DIR/netns-lab/NAME without root)
    lock          taken by the lab's process for as long as it lives (see `lock`)
    control.sock  where `netns-lab status` and `exec` ask
    kubeconfig    for kubectl; node.kubeconfig for commands on a node, pod.kubeconfig in a pod
    certificates/ by which the API is known to pods and nodes
    lab.log       what the lab's components have to say
    state.db      the API's objects
    pods/UID/     each pod's logs and files
    claims/       NAMESPACE/NAME/, what is in PersistentVolumeClaims
/run/netns-lab/NAME.last.log      the end of the log of a lab that ended unexpectedly, until the next orderly end
                                  of one of its name (the ten latest of all, a megabyte each)
```
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from netnslab.errors import AlreadyRunning, InvalidTopology, LabError
from netnslab.lock import Lock

_DEFAULT_NAME = "lab"
_LAST_WORDS = 1 << 20  # bytes of the log that are kept
_TRIES = 1000  # to claim a folder, with a millisecond between them in which others may be done with it
_LAST_LOGS = 10  # of labs of whatever name
_LONGEST_NAME = 40  # with the folder, the control socket's path must fit the 107 bytes of unix(7)


def default_name() -> str:
    """The lab that is meant where no `--name` is given."""
    return os.environ.get("NETNS_LAB") or _DEFAULT_NAME


def base() -> Path:
    """Where this user's labs keep their folders."""
    if os.geteuid() == 0:
        return Path("/run/netns-lab")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return Path(runtime, "netns-lab")
    return Path(tempfile.gettempdir(), f"netns-lab-{os.geteuid()}")


@dataclass(frozen=True, slots=True)
class LabFolder:
    """The folder of one lab, which may or may not be there."""

    path: Path

    @classmethod
    def of(cls, name: str) -> LabFolder:
        """The folder of the lab called `name`. Raises InvalidTopology for what cannot be a name."""
        if not name or len(name) > _LONGEST_NAME or not name.replace("-", "").isalnum() or not name.isascii():
            raise InvalidTopology(
                f"{name!r} cannot be a lab's name: use up to {_LONGEST_NAME} letters, digits and hyphens"
            )
        return cls(base() / name)

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.path.name

    @property
    def flag(self) -> str:
        """What a command line says to mean this lab: "" where it needs not say it."""
        return "" if self.name == default_name() else f" --name {self.name}"

    @property
    def control(self) -> Path:
        """The control socket."""
        return self.path / "control.sock"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig."""
        return self.path / "kubeconfig"

    @property
    def node_kubeconfig(self) -> Path:
        """The kubeconfig for commands on a node."""
        return self.path / "node.kubeconfig"

    @property
    def pod_kubeconfig(self) -> Path:
        """The kubeconfig for programs in pods."""
        return self.path / "pod.kubeconfig"

    @property
    def certificates(self) -> Path:
        """The folder of the lab's certificates."""
        return self.path / "certificates"

    @property
    def log(self) -> Path:
        """The lab's own log."""
        return self.path / "lab.log"

    @property
    def pods(self) -> Path:
        """The folder of all pods' folders."""
        return self.path / "pods"

    @property
    def claims(self) -> Path:
        """The folder of what pods keep in PersistentVolumeClaims."""
        return self.path / "claims"

    @property
    def last_log(self) -> Path:
        """The log of the last lab of this name, where it ended unexpectedly."""
        return self.path.with_name(f"{self.name}.last.log")

    def claim(self) -> Lock:
        """Make the folder, empty, and give its lock, taken, which marks the lab as running.

        What a lab that was killed has left behind is removed. Raises AlreadyRunning, and LabError for a folder of
        somebody else's, and for what is in the way and cannot be removed.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.parent.stat().st_uid != os.geteuid():
            raise LabError(f"{self.path.parent} belongs to another user: set XDG_RUNTIME_DIR to a folder of your own")
        for _ in range(_TRIES):
            if (lock := self._claimed()) is not None:
                return lock
            if self.running():
                raise AlreadyRunning(
                    f"the lab {self.name!r} is running already; see `netns-lab status{self.flag}`, end it with "
                    f"`netns-lab down{self.flag}`, or start another one with `--name`"
                )
            time.sleep(0.001)
        raise LabError(self._obstacle())

    def running(self) -> bool:
        """Whether the lab's process lives."""
        lock = self.lock()
        if lock is None:
            return False
        with lock:
            return lock.taken

    def lock(self) -> Lock | None:
        """The lock that is in the folder now, opened; None where there is none."""
        try:
            return Lock.opened(self.path / "lock")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def remove(self, lock: Lock) -> None:
        """Remove the folder and all in it, and the log of an earlier lab: nothing is left.

        `lock` is that of the lab that has ended; where the folder is another's by now, nothing is done.
        """
        with lock.alone() as in_place:
            if in_place:
                self.last_log.unlink(missing_ok=True)
                self._remove()

    def bury(self) -> None:
        """Remove the folder of a lab that ended without having been told to, and keep the end of its log.

        Where a lab runs by now, nothing is done.
        """
        lock = self.lock()
        if lock is None:
            with suppress(OSError):  # of a command that was killed in the middle of making or removing it
                self.path.rmdir()
            return
        with lock, lock.alone() as in_place:
            if in_place and not lock.taken:
                self._keep_log()
                self._remove()

    def epitaph(self) -> str:
        """What is to be said about the last lab of this name: "" where it ended as it should."""
        try:
            when = datetime.fromtimestamp(self.last_log.stat().st_mtime).astimezone()
        except OSError:
            return ""
        return f"; the last one ended unexpectedly at {when:%Y-%m-%d %H:%M:%S}, and its log is {self.last_log}"

    def _claimed(self) -> Lock | None:
        """A lock of this lab's own in a folder of its own, taken; None where somebody else was quicker."""
        self.bury()
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            lock = Lock.opened(self.path / "lock", os.O_CREAT | os.O_EXCL)
        except (FileExistsError, FileNotFoundError):
            return None
        with lock.alone() as in_place:
            if in_place:
                lock.take()
                return lock
        lock.close()
        return None

    def _obstacle(self) -> str:
        """What is in the way of the folder, and what to do."""
        what, remove = "no folder", "rm"
        if self.path.is_dir():
            names = ", ".join(sorted(item.name for item in self.path.glob("*")))
            what, remove = f"what an earlier lab left and cannot be removed, with {names or 'nothing'} in it", "rm -r"
        return (
            f"the lab {self.name!r} cannot have its folder: {self.path} is {what}; "
            f"remove it with `{remove} {self.path}`, or start the lab with another `--name`"
        )

    def _remove(self) -> None:
        """Remove the folder, and the lock last of what is in it: from then on the name is anybody's."""
        with suppress(OSError):
            for item in self.path.iterdir():
                if item.name != "lock":
                    _remove(item)
            (self.path / "lock").unlink()
            self.path.rmdir()

    def _keep_log(self) -> None:
        """Keep the end of the log, with the time of the lab's last sign of life as its own."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_WORDS))
                self.last_log.write_bytes(file.read())
            signs = [path.stat().st_mtime for path in (self.log, *self.path.glob("state.db*"))]
            os.utime(self.last_log, (max(signs), max(signs)))
            kept = sorted(self.path.parent.glob("*.last.log"), key=lambda path: path.stat().st_mtime)
            for path in kept[:-_LAST_LOGS]:
                path.unlink(missing_ok=True)
        except OSError:
            return  # it ended before there was a log


def labs() -> Iterator[LabFolder]:
    """The labs that run; folders of those that were killed are removed on the way."""
    for path in sorted(base().glob("*/lock")):
        folder = LabFolder(path.parent)
        if folder.running():
            yield folder
        else:
            folder.bury()


def _remove(item: Path) -> None:
    if item.is_dir() and not item.is_symlink():
        shutil.rmtree(item, ignore_errors=True)
    else:
        item.unlink(missing_ok=True)
