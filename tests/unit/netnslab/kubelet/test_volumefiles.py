from __future__ import annotations

from pathlib import Path

import pytest

from netnslab.errors import LabError
from netnslab.kernel import Namespace
from netnslab.kubelet import volumefiles
from netnslab.kubelet.environment import Missing
from netnslab.kubelet.podspec import Container
from netnslab.kubelet.sandbox import Sandbox
from netnslab.kubelet.volumes import File
from netnslab.kubelet.volumespec import Mount, Volume

MADE, OWN = Volume("settings", made=True), Volume("data")


def seen(folder: Path) -> dict[str, str]:
    """What a container sees in a folder."""
    return {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith("..")}


def test_files_change_all_at_once_behind_links_and_nothing_old_is_left(tmp_path: Path) -> None:
    volumefiles.write(tmp_path, {"a": File(b"1", 0o644), "b": File(b"2", 0o400)})
    assert seen(tmp_path) == {"a": "1", "b": "2"}
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o400
    before = (tmp_path / "..data").resolve()
    volumefiles.write(tmp_path, {"a": File(b"3", 0o644), "c": File(b"4", 0o644)})
    assert seen(tmp_path) == {"a": "3", "c": "4"}
    assert (tmp_path / "a").readlink() == Path("..data/a")
    assert not before.exists()


def test_files_that_cannot_be_written_leave_nothing_and_those_before_stay(tmp_path: Path) -> None:
    volumefiles.write(tmp_path, {"a": File(b"1", 0o644)})
    before = set(tmp_path.iterdir())
    with pytest.raises(LabError, match=f"the files of volume {tmp_path.name} cannot be written: "):
        volumefiles.write(tmp_path, {"a": File(b"2", 0o644), "a/b": File(b"", 0o644)})
    assert set(tmp_path.iterdir()) == before
    assert seen(tmp_path) == {"a": "1"}


def test_files_are_written_after_one_who_was_killed_at_it_and_what_that_left_is_removed(tmp_path: Path) -> None:
    volumefiles.write(tmp_path, {"a": File(b"1", 0o644)})
    (tmp_path / "..left").mkdir()
    (tmp_path / "..new").symlink_to("..left")
    volumefiles.write(tmp_path, {"a": File(b"2", 0o644)})
    assert seen(tmp_path) == {"a": "2"}
    current = (tmp_path / "..data").readlink().name
    assert {path.name for path in tmp_path.iterdir()} == {"a", "..data", current}


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    found = Sandbox(Namespace(-1), ("10.244.1.5",), tmp_path)
    volumefiles.write(found.volumes / "settings", {"a": File(b"1", 0o644)})
    volumefiles.make_empty(found.volumes / "data")
    return found


def mounted(sandbox: Sandbox, *mounts: Mount) -> tuple[tuple[str, str, bool], ...]:
    return volumefiles.mounts(sandbox, (MADE, OWN), Container("main", "x", mounts=mounts), {"POD": "web-1"})


def test_files_that_are_made_are_only_for_reading_and_a_pods_own_folder_is_for_writing(sandbox: Sandbox) -> None:
    found = mounted(sandbox, Mount("settings", "/etc/a"), Mount("data", "/data"), Mount("data", "/in", read_only=True))
    assert [(path, read_only) for _, path, read_only in found] == [("/etc/a", True), ("/data", False), ("/in", True)]


def test_a_part_of_a_volume_stays_what_it_was_when_it_was_mounted(sandbox: Sandbox) -> None:
    ((source, _, _),) = mounted(sandbox, Mount("settings", "/etc/a.conf", "a"))
    volumefiles.write(sandbox.volumes / "settings", {"a": File(b"2", 0o644)})
    assert Path(source).read_text() == "1"


def test_a_part_may_be_named_by_a_variable_and_is_made_where_the_pod_may_write(sandbox: Sandbox) -> None:
    ((source, _, _),) = mounted(sandbox, Mount("data", "/log", "logs/$(POD)", expand=True))
    assert Path(source) == sandbox.volumes / "data" / "logs" / "web-1"
    assert Path(source).is_dir()


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (Mount("nobody", "/x"), "the pod has no volume 'nobody'"),
        (Mount("settings", "/x", "no"), "subPath 'no' is not in volume settings"),
        (Mount("data", "/x", "$(UP)", expand=True), r"subPath '\$\(UP\)'"),
    ],
)
def test_a_mount_that_leads_nowhere_is_named(sandbox: Sandbox, mount: Mount, words: str) -> None:
    if mount.volume == "data":
        (sandbox.volumes / "data" / "$(UP)").symlink_to("/etc")
        words = "leads out of volume data"
    with pytest.raises(Missing, match=words):
        mounted(sandbox, mount)
