"""Does the process in this container answer? For HEALTHCHECK: the image has no curl, and needs none.

`healthcheck.py /ready` asks for another path. A container runs the API or a worker, so one port that answers is enough.
"""

import os
import sys
from http.client import HTTPException
from urllib.request import urlopen

PORTS = {"GENAI_API_PORT": "8100", "GENAI_WORKER_PORT": "8101"}
_WITHIN_S = 2.0


def answers(port: str, path: str) -> bool:
    """Whether 2xx comes back; a 503 of /ready is a no."""
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=_WITHIN_S):
            return True
    except (HTTPException, OSError):
        return False


def main(path: str) -> int:
    """The exit code that Docker reads."""
    return 0 if any(answers(os.environ.get(name, usual), path) for name, usual in PORTS.items()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "/health"))
