from __future__ import annotations

import os
from pathlib import Path

import pytest

from netnslab import state
from netnslab.errors import AlreadyRunning, InvalidTopology
from netnslab.state import LabFolder


@pytest.fixture(autouse=True)
def _base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(state, "base", lambda: tmp_path / "labs")


@pytest.mark.parametrize("name", ["", "a/b", "..", "with space", "ü", "x" * 41])
def test_what_cannot_be_a_folder_cannot_be_a_name(name: str) -> None:
    with pytest.raises(InvalidTopology, match="cannot be a lab's name"):
        LabFolder.of(name)


def test_a_name_is_claimed_once_for_as_long_as_the_lock_is_held() -> None:
    folder = LabFolder.of("one")
    assert not folder.running()
    lock = folder.claim()
    assert folder.running()
    with pytest.raises(AlreadyRunning, match="netns-lab down --name one"):
        folder.claim()
    os.close(lock)
    assert not folder.running()


def test_what_a_killed_lab_left_behind_is_cleaned_up_by_the_next() -> None:
    folder = LabFolder.of("one")
    os.close(folder.claim())
    folder.pods.mkdir()
    (folder.pods / "log").write_text("old")
    folder.kubeconfig.write_text("old")
    lock = folder.claim()
    assert [path.name for path in folder.path.iterdir()] == ["lock"]
    os.close(lock)


def test_of_a_long_log_the_end_is_kept_once() -> None:
    folder = LabFolder.of("one")
    os.close(folder.claim())
    folder.log.write_text("x" * (1 << 20) + "last words")
    folder.bury()
    assert folder.last_log.stat().st_size == 1 << 20
    assert folder.last_log.read_text().endswith("last words")
    assert str(folder.last_log) in folder.epitaph()
    folder.bury()
    assert folder.last_log.exists()
    folder.remove()
    assert folder.epitaph() == ""


def test_only_the_latest_logs_are_kept() -> None:
    for number in range(12):
        folder = LabFolder.of(f"lab-{number}")
        os.close(folder.claim())
        folder.log.write_text("last words")
        os.utime(folder.log, (number, number))
        folder.bury()
    assert {path.name for path in state.base().iterdir()} == {f"lab-{number}.last.log" for number in range(2, 12)}


def test_listing_finds_the_running_and_removes_the_dead() -> None:
    alive, dead = LabFolder.of("alive"), LabFolder.of("dead")
    lock = alive.claim()
    os.close(dead.claim())
    assert [folder.name for folder in state.labs()] == ["alive"]
    assert not dead.path.exists()
    os.close(lock)


def test_only_its_owner_can_look_into_a_labs_folder() -> None:
    folder = LabFolder.of("one")
    os.close(folder.claim())
    assert folder.path.stat().st_mode & 0o777 == 0o700
