"""What a terminal or a pipe cannot show."""

import json
import subprocess
import sys

import pytest

from streams.terminal import escaped

pytestmark = pytest.mark.fast

_SAID = "é € 𝄞"


def test_a_character_is_escaped_as_json_does() -> None:
    error = UnicodeEncodeError("ascii", _SAID, 4, 5, "ordinal not in range")
    assert escaped(error) == ("\\ud834\\udd1e", 5)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_json_stays_json_where_the_locale_is_not_utf_8(stream: str) -> None:
    code = (
        "import json, sys\nfrom streams import terminal\nterminal.prepare()\n"
        f"print(json.dumps({_SAID!r}, ensure_ascii=False), file=sys.{stream})"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}, check=True
    )
    assert json.loads(getattr(found, stream)) == _SAID
