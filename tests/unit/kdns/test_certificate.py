"""A certificate is followed as its files change, and one that is wrong changes nothing."""

from __future__ import annotations

import logging
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from kdns.certificate import Certificate
from kdns.errors import SettingInvalid
from kdns.settings import Listen


def write(folder: Path) -> Listen:
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-keyout", str(folder / "key"), "-out", str(folder / "certificate"), "-subj", "/CN=localhost"]
    subprocess.run(words, check=True, capture_output=True)
    return Listen(ip_address("127.0.0.1"), 853, "tls", str(folder / "certificate"), str(folder / "key"))


def test_half_of_a_renewal_and_none_at_all_change_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    followed = Certificate(write(tmp_path))
    before = followed._current
    for broken in ("key", "certificate"):
        (tmp_path / broken).write_text("no certificate")
        followed.look()
        followed.look()
        assert followed._current is before
    (tmp_path / "key").unlink()
    followed.look()
    assert followed._current is before
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 3, "each state is told of once"
    assert all(line.startswith("the certificate stays as it was: tls://127.0.0.1:853: ") for line in told)
    write(tmp_path)
    followed.look()
    assert followed._current is not before


def test_without_a_certificate_nothing_is_started(tmp_path: Path) -> None:
    listen = Listen(ip_address("127.0.0.1"), 853, "tls", str(tmp_path / "gone"), str(tmp_path / "gone"))
    with pytest.raises(SettingInvalid, match=r"tls://127\.0\.0\.1:853: .* are no certificate"):
        Certificate(listen)
