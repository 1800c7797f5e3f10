"""What a terminal or a pipe cannot show is written as JSON writes it, so that no answer ends a command."""

import codecs
import io
import sys

_HANDLER = "genai-escape"


def prepare() -> None:
    """Where the locale is not UTF-8, a character that it lacks is written as an escape: JSON stays JSON."""
    codecs.register_error(_HANDLER, escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not (stream.encoding or "").lower().startswith("utf"):
            stream.reconfigure(errors=_HANDLER)


def escaped(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: four hexadecimal digits, two such for what is beyond the first plane, as in JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    codes = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{code}" for code in codes), error.end
