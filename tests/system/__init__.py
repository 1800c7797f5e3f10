from pathlib import Path


def hooks_folder() -> Path:
    """On a child's PYTHONPATH it brings faults with it; see `sitecustomize` there."""
    return Path(__file__).parent / "hooks"
