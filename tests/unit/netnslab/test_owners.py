from __future__ import annotations

import os
import socket
import sys

import pytest

from netnslab import owners
from netnslab.owners import Owners

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINE = "   {n}: {ends} 01 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1 0000 20 4 30 10 -1\n"
CLIENT, SERVER = ("127.0.0.1", 0xABCD), ("127.0.0.1", 6443)
little = pytest.mark.skipif(sys.byteorder != "little", reason="the lines are those of a little-endian machine")


@little
def test_the_clients_end_tells_whose_a_connection_is() -> None:
    lines = (
        LINE.format(n=0, ends="0100007F:192B 0100007F:ABCD", uid=0, inode=1),
        LINE.format(n=1, ends="0100007F:ABCE 0100007F:192B", uid=33, inode=2),
        LINE.format(n=2, ends="0100007F:ABCD 0100007F:192B", uid=1000, inode=3),
    )
    assert owners.owner(HEAD + "".join(lines), CLIENT, SERVER) == 1000
    assert owners.owner(HEAD, CLIENT, SERVER) is None


@little
def test_a_mapped_address_is_found_in_the_other_table() -> None:
    mapped = "0000000000000000FFFF00000100007F"
    line = LINE.format(n=0, ends=f"{mapped}:ABCD {mapped}:192B", uid=7, inode=3)
    assert owners.owner(HEAD + line, CLIENT, SERVER) == 7


@little
def test_a_socket_that_no_process_has_open_any_more_is_nobodys() -> None:
    line = LINE.format(n=0, ends="0100007F:ABCD 0100007F:192B", uid=0, inode=0)
    assert owners.owner(HEAD + line, CLIENT, SERVER) is None


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_kernel_says_whose_a_real_connection_is(family: socket.AddressFamily) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::ffff:127.0.0.1"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(family) as client:
        client.connect((host, server.getsockname()[1]))
        ours = ("127.0.0.1", client.getsockname()[1])
        asked = Owners(owners.opened(), os.getuid())
        assert asked.refuse(ours, server.getsockname()) == ""
        other = Owners(owners.opened(), 4711).refuse(ours, server.getsockname())
        assert other == (
            "" if os.getuid() == 0 else f"this lab belongs to user 4711: user {os.getuid()} may not use it"
        )
    assert "whoever connects may not" in asked.refuse(ours, ("127.0.0.1", 1))
