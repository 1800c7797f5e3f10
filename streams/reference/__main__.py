"""`python -m streams.reference [FOLDER]`: write the contract's files, `docs/reference` unless another folder is named."""

import sys
from pathlib import Path

from streams.reference import files


def write(folder: Path) -> list[str]:
    """Write what differs and take out schemas that are no more; the paths that changed."""
    wanted = files()
    gone = {f"schemas/{path.name}" for path in (folder / "schemas").glob("*.json")} - set(wanted)
    changed = [name for name, text in wanted.items() if not _holds(folder / name, text)]
    for name in changed:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(wanted[name], encoding="utf-8")
    for name in gone:
        (folder / name).unlink()
    return sorted([*changed, *gone])


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    changed = write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference"))
    sys.stdout.write("".join(f"{name}\n" for name in changed) or "Nothing has changed.\n")
