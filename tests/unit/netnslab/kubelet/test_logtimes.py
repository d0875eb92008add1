from __future__ import annotations

from pathlib import Path

import pytest

from netnslab.kubelet.logtimes import LogTimes


async def test_a_logs_sizes_are_noted_as_it_grows_and_go_with_it_to_the_previous_run(tmp_path: Path) -> None:
    log, previous = tmp_path / "main.log", tmp_path / "main.previous.log"
    with LogTimes().listening() as times:
        times.begin(log)
        for text in ("one\n", "one\ntwo\n"):
            log.write_text(text)
            seen = times.of(log)
        assert [size for size, _ in seen] == [4, 8]
        log.replace(previous)
        times.turn(log, previous)
        times.begin(log)
        log.write_text("three\n")
        assert [size for size, _ in times.of(log)] == [6]
        assert times.of(previous) == seen


async def test_of_a_log_that_never_ends_only_so_much_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netnslab.kubelet.logtimes._MOST_MARKS", 8)
    log = tmp_path / "main.log"
    with LogTimes().listening() as times:
        times.begin(log)
        for number in range(1, 50):
            log.write_text("x" * number)
            marks = times.of(log)
    assert len(marks) <= 8
    assert marks[-1][0] == 49
    assert marks == sorted(marks)


def test_a_log_of_which_nothing_is_noted_is_as_old_as_its_last_line(tmp_path: Path) -> None:
    log = tmp_path / "main.log"
    log.write_text("one\n")
    assert LogTimes().of(log) == [(4, log.stat().st_mtime)]
    assert LogTimes().of(tmp_path / "none.log") == []
