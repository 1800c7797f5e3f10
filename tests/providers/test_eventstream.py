"""AWS's framed messages: as its own SDK reads them, and what is broken is no message."""

from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer

from providers.eventstream import Frame, Frames, written

pytestmark = pytest.mark.fast

HEADERS = {":event-type": "contentBlockDelta", ":message-type": "event"}
ONE = written(HEADERS, b'{"delta":{"text":"caf\xc3\xa9"}}')
TWO = written({":message-type": "exception"}, b"")


def test_awss_own_sdk_reads_what_is_written():
    buffer = EventStreamBuffer()
    buffer.add_data(ONE + TWO)
    assert [(message.headers, message.payload) for message in buffer] == [
        (HEADERS, b'{"delta":{"text":"caf\xc3\xa9"}}'),
        ({":message-type": "exception"}, b""),
    ]


@pytest.mark.parametrize("step", [1, 3, 16, 1000])
def test_messages_are_read_however_their_bytes_are_cut(step):
    frames = Frames()
    whole = ONE + TWO
    found = [frame for start in range(0, len(whole), step) for frame in frames.take(whole[start : start + step])]
    assert found == [Frame(HEADERS, b'{"delta":{"text":"caf\xc3\xa9"}}'), Frame({":message-type": "exception"}, b"")]


def test_headers_of_other_types_are_passed_over():
    """A boolean, a byte, an integer, bytes, a timestamp; then a string."""
    others = (
        b"\x01a\x00"
        + b"\x01b\x02\x07"
        + b"\x01c\x04\x00\x00\x00\x01"
        + b"\x01d\x06\x00\x02hi"
        + b"\x01e\x08"
        + bytes(8)
    )
    plain = written({"x": "y"}, b"p")
    told = others + plain[12:18]
    prelude = (16 + len(told) + 1).to_bytes(4) + len(told).to_bytes(4)
    message = prelude + crc32(prelude).to_bytes(4) + told + b"p"
    assert Frames().take(message + crc32(message).to_bytes(4)) == [Frame({"x": "y"}, b"p")]


@pytest.mark.parametrize("at", [0, 5, 9, 14, 30, len(ONE) - 1])
def test_a_broken_byte_is_noticed(at):
    broken = bytearray(ONE)
    broken[at] ^= 0x40
    with pytest.raises(ValueError, match="broken"):
        Frames().take(bytes(broken))


def test_what_is_no_such_stream_is_noticed_at_once():
    with pytest.raises(ValueError, match="prelude"):
        Frames().take(b'{"message":"The security token is invalid"}')
