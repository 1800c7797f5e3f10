"""PDFs as small as they can be, and real: pages of text in Helvetica, with a password where one is wanted."""

import hashlib
from collections.abc import Sequence

_PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
_ID = b"0123456789abcdef"
_ALLOWED = -4


def pdf(pages: Sequence[str], *, password: str | None = None, squares: bool = False) -> bytes:
    """One page per text, a line of it per line. `squares`: each page holds a drawing, too, as a scanned one does."""
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", _FONT]
    kids = []
    for text in pages:
        content = _content(text, squares)
        number = len(objects) + 1
        kids.append(b"%d 0 R" % number)
        objects.append(_PAGE % (number + 1))
        objects.append(content)
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    trailer = b""
    if password is not None:
        key, words = _locked(password)
        for number in range(5, len(objects) + 1, 2):
            objects[number - 1] = _rc4(_of_object(key, number), objects[number - 1])
        objects.append(words)
        trailer = b" /Encrypt %d 0 R /ID [<%s> <%s>]" % (len(objects), _ID.hex().encode(), _ID.hex().encode())
    return _written(objects, range(4, 4 + 2 * len(pages)), trailer)


_FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
_PAGE = (
    b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>"
)


def _content(text: str, squares: bool) -> bytes:
    lines = [line.encode("cp1252") for line in text.splitlines()]
    shown = b"".join(b"(%s) Tj T*\n" % _escaped(line) for line in lines)
    drawn = b"72 72 200 200 re f\n" if squares else b""
    return drawn + (b"BT /F1 11 Tf 14 TL 72 720 Td\n%sET" % shown if shown else b"")


def _escaped(line: bytes) -> bytes:
    return line.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _written(objects: Sequence[bytes], of_pages: range, trailer: bytes) -> bytes:
    out, places = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        stream = number in of_pages and number % 2 == 1
        told = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(body), body) if stream else body
        out += b"%d 0 obj\n%s\nendobj\n" % (number, told)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)


def _locked(password: str) -> tuple[bytes, bytes]:
    """The key of 40 bits, and the dictionary that lets a reader find it out from the password."""
    user = (password.encode("latin-1") + _PAD)[:32]
    owner = _rc4(hashlib.md5(user, usedforsecurity=False).digest()[:5], user)
    told = user + owner + _ALLOWED.to_bytes(4, "little", signed=True) + _ID
    key = hashlib.md5(told, usedforsecurity=False).digest()[:5]
    words = b"<< /Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P %d >>"
    return key, words % (owner.hex().encode(), _rc4(key, _PAD).hex().encode(), _ALLOWED)


def _of_object(key: bytes, number: int) -> bytes:
    return hashlib.md5(key + number.to_bytes(3, "little") + b"\0\0", usedforsecurity=False).digest()[:10]


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
