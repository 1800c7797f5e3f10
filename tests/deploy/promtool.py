"""Prometheus' own checker, where it is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def promtool(*arguments: str | Path) -> str:
    """What it says. Fails when it finds fault; skips when there is none."""
    beside = Path(sys.executable).with_name("promtool")
    found = str(beside) if beside.exists() else shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (on Debian: `bash scripts/promtool.sh`, or the package prometheus)")
    ran = subprocess.run([found, *arguments], capture_output=True, text=True, check=False, env={"PATH": os.defpath})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr
