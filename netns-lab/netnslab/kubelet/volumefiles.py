"""The volumes of one pod as folders, which its containers have mounted.

A folder of files is changed in one step, as the kubelet does it: its files are in a hidden folder, `..data` is a link
to that, and each file's name is a link into `..data`. So a reader finds what was there before, or all that is new.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from netnslab.errors import LabError
from netnslab.kubelet import environment
from netnslab.kubelet.environment import Missing
from netnslab.kubelet.podspec import Container
from netnslab.kubelet.sandbox import Sandbox
from netnslab.kubelet.volumes import File
from netnslab.kubelet.volumespec import ACCOUNT, ACCOUNT_MOUNT, Volume
from netnslab.mounting import Mount

_DATA = "..data"


def make_empty(folder: Path) -> None:
    """Make the folder of a volume for everybody in the pod to write in, where it is not there. Raises LabError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
    except OSError as error:
        raise LabError(f"the folder of volume {folder.name} cannot be made: {error}") from error


def lead_to(folder: Path, claimed: Path) -> None:
    """Have the folder of a volume be one that stays when the pod goes. Raises LabError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(claimed)
    except FileExistsError:
        return  # of an attempt before
    except OSError as error:
        raise LabError(f"the folder of volume {folder.name} cannot be made: {error}") from error


def write(folder: Path, files: Mapping[str, File]) -> None:
    """Have these files in a folder, and no others. Raises LabError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _turn(folder, _fresh(folder, files))
        finally:
            _clear(folder)
    except OSError as error:
        raise LabError(f"the files of volume {folder.name} cannot be written: {error}") from error


def _fresh(folder: Path, files: Mapping[str, File]) -> Path:
    """Write the files into a hidden folder of their own."""
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=folder))
    fresh.chmod(0o755)
    for name, file in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
        path.chmod(file.mode)
    return fresh


def _turn(folder: Path, fresh: Path) -> None:
    """Make what is in `fresh` the files of a folder."""
    link = folder / "..new"
    link.unlink(missing_ok=True)  # of one who was killed at this point
    link.symlink_to(fresh.name)
    link.replace(folder / _DATA)
    wanted = {path.name for path in fresh.iterdir()}
    present = {path.name for path in folder.iterdir() if not path.name.startswith("..")}
    for name in wanted - present:
        (folder / name).symlink_to(f"{_DATA}/{name}")
    for name in present - wanted:
        (folder / name).unlink()


def _clear(folder: Path) -> None:
    """Remove the hidden folders that nobody reads: of files that were before, or that could not all be written."""
    current = (folder / _DATA).resolve().name
    for path in folder.glob("..*"):
        if path.is_dir() and not path.is_symlink() and path.name != current:
            shutil.rmtree(path, ignore_errors=True)


def mounts(
    sandbox: Sandbox, volumes: Sequence[Volume], container: Container, variables: Mapping[str, str]
) -> tuple[Mount, ...]:
    """What a container has mounted of the volumes of its pod. Raises Missing for one that is not there."""
    made = {volume.name for volume in (*volumes, ACCOUNT) if volume.made}
    fixed = made | {volume.name for volume in volumes if volume.read_only}
    wanted = list(container.mounts)
    if (sandbox.volumes / ACCOUNT.name).exists() and all(one.path != ACCOUNT_MOUNT.path for one in wanted):
        wanted.append(ACCOUNT_MOUNT)
    found = []
    for index, one in enumerate(wanted):
        source = sandbox.volumes / one.volume
        if not source.exists():
            raise Missing(f"volume mount {one.path}: the pod has no volume {one.volume!r}")
        if one.sub_path:
            inner = environment.expand(one.sub_path, variables) if one.expand else one.sub_path
            part = _part if one.volume in made else _own_part
            source = part(source, inner, sandbox.parts / f"{container.name}-{index}")
        found.append((str(source), one.path, one.read_only or one.volume in fixed))
    return tuple(found)


def _own_part(volume: Path, inner: str, _: Path) -> Path:
    """A part of a volume that the pod writes in, a folder where there is none yet."""
    path = (volume / inner).resolve()
    if not path.is_relative_to(volume.resolve()):
        raise Missing(f"subPath {inner!r} leads out of volume {volume.name}")
    if not path.exists():
        path.mkdir(parents=True)
    return path


def _part(volume: Path, inner: str, kept: Path) -> Path:
    """A part of a volume whose files change. Mounted by itself it stays what it is, so it is `kept`."""
    path = (volume / inner).resolve()
    if not path.exists() or not path.is_relative_to(volume.resolve()):
        raise Missing(f"subPath {inner!r} is not in volume {volume.name}")
    if path.is_dir():
        shutil.copytree(path, kept, dirs_exist_ok=True)
    else:
        kept.parent.mkdir(exist_ok=True)
        shutil.copy(path, kept)
    return kept
