from __future__ import annotations

from pathlib import Path

from netnslab.growing import GrowingLog


def test_a_log_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "main.log"
    with GrowingLog(path) as log:
        assert log.more() == b""
        path.write_text("one\n")
        assert log.more() == b"one\n"
        assert log.more() == b""
        with path.open("a") as file:
            file.write("two\n")
        assert log.more() == b"two\n"


def test_the_rest_of_a_log_that_was_replaced_comes_before_the_new_one_however_long_that_is(tmp_path: Path) -> None:
    path = tmp_path / "main.log"
    path.write_text("one\n")
    with GrowingLog(path) as log:
        assert log.more() == b"one\n"
        with path.open("a") as file:
            file.write("two\n")
        path.replace(tmp_path / "main.previous.log")
        path.write_text("three and much more than before\n")
        assert log.more() == b"two\n"
        assert log.more() == b"three and much more than before\n"
        path.unlink()
        assert log.more() == b""
