"""Frames of SPDY/3.1, as clients send them in whatever pieces, and as they must read them."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi.server.streaming import spdy
from kapi.server.streaming.spdy import Data, GoingAway, Opened, Ping, ProtocolError, Reader, Reset, Writer


class Client:
    """Makes a client's frames."""

    def __init__(self) -> None:
        self.compression = zlib.compressobj(zdict=spdy.DICTIONARY)

    def open(self, stream: int, *, last: bool = False, **headers: str) -> bytes:
        pairs = b"".join(text(name) + text(value) for name, value in headers.items())
        block = self.compression.compress(struct.pack("!I", len(headers)) + pairs)
        block += self.compression.flush(zlib.Z_SYNC_FLUSH)
        return control(1, struct.pack("!IIBB", stream, 0, 0, 0) + block, last)


def text(word: str) -> bytes:
    return struct.pack("!I", len(word)) + word.encode()


def control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("!HHI", 0x8003, kind, flags << 24 | len(body)) + body


def test_compression_starts_from_the_dictionary_of_the_protocol() -> None:
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2  # as every compressed block of SPDY/3 begins by saying


@given(st.integers(1, 64), st.binary(max_size=200))
def test_frames_are_the_same_however_their_bytes_arrive(size: int, data: bytes) -> None:
    client = Client()
    sent = (
        client.open(1, streamtype="error")
        + client.open(3, last=True, streamtype="data", port="80")
        + Writer.data(3, data)
        + Writer.end(3)
        + control(6, struct.pack("!I", 7))
        + control(4, struct.pack("!IIII", 1, 0, 0, 0))
        + control(9, struct.pack("!II", 3, 100))
        + control(3, struct.pack("!II", 3, 5))
        + control(7, struct.pack("!II", 3, 0))
    )
    reader = Reader()
    frames = [frame for start in range(0, len(sent), size) for frame in reader.feed(sent[start : start + size])]
    assert frames == [
        Opened(1, {"streamtype": "error"}, last=False),
        Opened(3, {"streamtype": "data", "port": "80"}, last=True),
        *([Data(3, data, last=False)] if data else []),
        Data(3, b"", last=True),
        Ping(control(6, struct.pack("!I", 7))),
        Reset(3),
        GoingAway(),
    ]


def test_what_a_server_accepts_reads_as_an_empty_list_of_headers_each_time() -> None:
    writer, client = Writer(), zlib.decompressobj(zdict=spdy.DICTIONARY)
    for stream in (1, 3, 5):
        frame = writer.accepted(stream)
        assert frame[:4] == b"\x80\x03\x00\x02"
        assert struct.unpack_from("!I", frame, 8)[0] == stream
        assert client.decompress(frame[12:]) == b"\0\0\0\0"


def test_much_data_goes_in_several_frames() -> None:
    data = bytes(range(256)) * 1000
    frames = list(Reader().feed(Writer.data(5, data)))
    assert len(frames) == 8
    assert b"".join(frame.data for frame in frames if isinstance(frame, Data)) == data


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (struct.pack("!HHI", 0x8002, 1, 10) + bytes(10), "SPDY/2"),
        (struct.pack("!II", 1, 0xFF_FFFF), "16777215 bytes"),
        (control(1, bytes(10) + b"nonsense"), "cannot be read"),
        (control(3, b""), "too short"),
        (Client().open(1, a="x" * 70_000), "too large"),
    ],
)
def test_what_is_no_frame_is_refused(sent: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        list(Reader().feed(sent))
