from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from netnslab import remote, state
from netnslab.errors import AlreadyRunning, InvalidTopology, LabError
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
    lock.close()
    assert not folder.running()


def test_what_a_killed_lab_left_behind_is_cleaned_up_by_the_next() -> None:
    folder = LabFolder.of("one")
    folder.claim().close()
    folder.pods.mkdir()
    (folder.pods / "log").write_text("old")
    folder.kubeconfig.write_text("old")
    lock = folder.claim()
    assert [path.name for path in folder.path.iterdir()] == ["lock"]
    lock.close()


def test_a_file_in_the_place_of_a_labs_folder_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "_TRIES", 3)
    folder = LabFolder.of("one")
    folder.path.parent.mkdir()
    folder.path.write_text("no lab")
    with pytest.raises(LabError, match=f"{folder.path} is no folder; remove it with `rm {folder.path}`"):
        folder.claim()


def test_what_a_lab_left_and_cannot_be_removed_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise OSError(errno.EBUSY, "it is a mount point")

    folder = LabFolder.of("one")
    folder.claim().close()
    folder.log.touch()
    monkeypatch.setattr(state, "_TRIES", 3)
    monkeypatch.setattr(state, "_remove", refuse)
    with pytest.raises(LabError, match=f"{folder.path} is what .*lab.log, lock in it; .*`rm -r {folder.path}`"):
        folder.claim()


def test_of_a_long_log_the_end_is_kept_once() -> None:
    folder = LabFolder.of("one")
    folder.claim().close()
    folder.log.write_text("x" * (1 << 20) + "last words")
    folder.bury()
    assert folder.last_log.stat().st_size == 1 << 20
    assert folder.last_log.read_text().endswith("last words")
    assert str(folder.last_log) in folder.epitaph()
    folder.bury()
    assert folder.last_log.exists()
    with folder.claim() as lock:
        folder.remove(lock)
    assert folder.epitaph() == ""


def test_only_the_latest_logs_are_kept() -> None:
    for number in range(12):
        folder = LabFolder.of(f"lab-{number}")
        folder.claim().close()
        folder.log.write_text("last words")
        os.utime(folder.log, (number, number))
        folder.bury()
    assert {path.name for path in state.base().iterdir()} == {f"lab-{number}.last.log" for number in range(2, 12)}


def test_listing_finds_the_running_and_removes_the_dead() -> None:
    alive, dead = LabFolder.of("alive"), LabFolder.of("dead")
    lock = alive.claim()
    dead.claim().close()
    assert [folder.name for folder in state.labs()] == ["alive"]
    assert not dead.path.exists()
    lock.close()


def test_only_its_owner_can_look_into_a_labs_folder() -> None:
    folder = LabFolder.of("one")
    folder.claim().close()
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_who_saw_no_lab_run_removes_nothing_of_one_that_has_started_meanwhile() -> None:
    folder = LabFolder.of("one")
    with folder.claim():
        folder.log.write_text("it runs")
        folder.bury()
        assert folder.log.read_text() == "it runs"
        assert folder.running()


def test_to_look_whether_a_lab_runs_changes_nothing_for_it() -> None:
    folder = LabFolder.of("one")
    with folder.claim() as lock:
        assert lock.taken
        assert folder.running()
        assert lock.holders() == [os.getpid()]


def test_a_lab_that_is_ended_takes_none_with_it_that_has_its_name_by_now() -> None:
    folder = LabFolder.of("one")
    old = folder.claim()
    with old.again() as ending:
        assert ending.holders() == [os.getpid()]
        folder.remove(ending)
        with folder.claim() as lock:
            old.close()
            assert not ending.taken
            remote.finish(folder, ending, patience=0)
            assert folder.running()
            assert lock.holders() == [os.getpid()]


def test_of_labs_and_commands_that_race_for_a_name_each_lab_keeps_its_folder() -> None:
    end = time.monotonic() + 0.3
    ran: list[bool] = []

    def lab() -> None:
        folder = LabFolder.of("one")
        with suppress(AlreadyRunning), folder.claim() as lock:
            folder.log.write_text("it runs")
            time.sleep(0.001)
            with lock.alone() as in_place:
                ran.append(in_place and folder.log.exists())
            if len(ran) % 2:
                folder.remove(lock)

    def again_and_again(work: Callable[[], object]) -> None:
        while time.monotonic() < end:
            work()

    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(again_and_again, work) for work in (lab, lab, lambda: list(state.labs())) * 2]:
            done.result()
    assert len(ran) > 10
    assert all(ran)
