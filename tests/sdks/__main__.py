"""`make described EXAMPLES=100`: all of the API against its description, and so many bodies made up for each operation."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.sdks import described
from tests.sdks.test_sdks import PYTHON, run, spine


async def main() -> int | None:
    parser = argparse.ArgumentParser(prog="python -m tests.sdks", description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="bodies made up for each operation (100)")
    examples = parser.parse_args().examples
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with spine(folder, 0.0) as url:
            command = await described.command(PYTHON, url, folder, "secret", examples)
            code, out = await run(command, folder, limit_s=60 + 60 * examples)
    print(out)
    return code


sys.exit(asyncio.run(main()))
