"""AWS event streams: `application/vnd.amazon.eventstream`, framed messages with headers and checksums, read and written.

A message: its length, the length of its headers, the CRC-32 of those eight bytes; headers; payload; the CRC-32 of all before.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

_PRELUDE = struct.Struct(">III")
_MOST = 24 * 1024 * 1024
_STRING = 7
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type; 6 and 7, bytes and strings, say their length before."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. `headers`: those that are strings."""

    headers: Mapping[str, str]
    payload: bytes


class Frames:
    """Messages out of bytes that are cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, piece: bytes) -> list[Frame]:
        """Those that are whole now. Raises ValueError for what is no such stream."""
        self._rest += piece
        found = []
        while len(self._rest) >= _PRELUDE.size:
            length, headers, check = _PRELUDE.unpack_from(self._rest)
            if crc32(self._rest[:8]) != check or not 16 + headers <= length <= _MOST:
                raise ValueError("a prelude is broken")
            if len(self._rest) < length:
                break
            found.append(_frame(self._rest[:length], headers))
            self._rest = self._rest[length:]
        return found


def _frame(message: bytes, headers: int) -> Frame:
    if crc32(message[:-4]) != int.from_bytes(message[-4:]):
        raise ValueError("a message is broken")
    start = _PRELUDE.size
    return Frame(_headers(message[start : start + headers]), message[start + headers : -4])


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        at = 0
        while at < len(data):
            after = at + 1 + data[at]
            name, kind = data[at + 1 : after].decode(), data[after]
            size = _FIXED.get(kind)
            begin = after + 1
            if size is None:
                size, begin = int.from_bytes(data[begin : begin + 2]), begin + 2
            if kind == _STRING:
                found[name] = data[begin : begin + size].decode()
            at = begin + size
    except (IndexError, UnicodeDecodeError):
        raise ValueError("a header is broken") from None
    return found


def written(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message."""
    told = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(told) + len(payload), len(told))
    message = prelude + crc32(prelude).to_bytes(4) + told + payload
    return message + crc32(message).to_bytes(4)


def _header(name: str, value: str) -> bytes:
    said, encoded = name.encode(), value.encode()
    return bytes([len(said)]) + said + bytes([_STRING]) + len(encoded).to_bytes(2) + encoded
