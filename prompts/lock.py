"""Which wording each version number stands for: `library/versions.lock`, one `slug version digest` per line.

`python -m prompts.lock` writes what is new into it and refuses a version that was changed: give it a new number.
"""

import sys
from pathlib import Path

from prompts.library import Library

LOCK = Path(__file__).parent / "library" / "versions.lock"
Lock = dict[tuple[str, int], str]


def current(library: Library) -> Lock:
    """The digests of what the library says now."""
    prompts = map(library.get, library.slugs())
    return {(prompt.slug, item.version): prompt.digest(item) for prompt in prompts for item in prompt.versions}


def read(path: Path = LOCK) -> Lock:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {(slug, int(version)): digest for slug, version, digest in map(str.split, lines)}


def problems(locked: Lock, now: Lock) -> list[str]:
    """A sentence for each locked version that is gone or says something else."""
    return [
        f"{slug} version {version} {'was changed' if (slug, version) in now else 'is gone'}: "
        "put it back, and write the new wording as a new version"
        for (slug, version), digest in sorted(locked.items())
        if now.get((slug, version)) != digest
    ]


def write(path: Path, lock: Lock) -> None:
    lines = [f"{slug} {version} {digest}\n" for (slug, version), digest in sorted(lock.items())]
    path.write_text("".join(lines), encoding="utf-8")


def main(path: Path = LOCK) -> int:
    """Bring the lock up to date; 1 and the reasons when a published version was changed."""
    now = current(Library.load())
    wrong = problems(read(path), now)
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    if not wrong:
        write(path, now)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
