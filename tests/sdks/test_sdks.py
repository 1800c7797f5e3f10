"""The clients that people have, unmodified, in an environment of their own, against a running spine."""

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SUITES = sorted(path.name for path in (HERE / "suite").glob("*.py") if path.name != "conftest.py")


@pytest.fixture
def python() -> Path:
    """The interpreter of the SDKs' environment; one that is missing or old is a failure, and says what to do."""
    lock = hashlib.sha256((HERE / "requirements.lock").read_bytes()).hexdigest()[:32]
    stamp = ROOT / ".venv/.stamps/sdks"
    if not stamp.exists() or stamp.read_text() != lock:
        pytest.fail(
            "The clients that the OpenAI door is held against are not installed, or others are: run `make setup`."
        )
    return ROOT / ".venv/sdks/bin/python"


@contextlib.asynccontextmanager
async def spine(folder: Path, latency_s: float) -> AsyncIterator[str]:
    """`genai-spine web` with the double; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {
        "API_PORT": str(port),
        "API_KEY": "secret",
        "DATA_DIR": str(folder / "data"),
        "DEFAULT_PROVIDER": "fake",
        "FAKE_LATENCY_S": str(latency_s),
        "FAKE_TAIL": "0",
        "FAKE_SLOTS": "8",
        "MAX_ATTEMPTS": "2",
        "DRAIN_S": "0",
        "LOG_LEVEL": "warning",
    }
    env = {name: value for name, value in os.environ.items() if not name.startswith("GENAI_")}
    env |= {f"GENAI_{name}": value for name, value in told.items()} | {"PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams.cli", "web"), env=env, cwd=folder, stdout=asyncio.subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await _ready(url, process)
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 30)


async def _ready(url: str, process: asyncio.subprocess.Process) -> None:
    async with httpx.AsyncClient(base_url=url, headers={"x-api-key": "secret"}) as api:
        for _ in range(600):
            assert process.returncode is None, "the spine ended"
            try:
                if (await api.get("/v1/models")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise AssertionError("the spine does not get ready")


async def _run(command: list[str], folder: Path, **env: str) -> tuple[int | None, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GENAI_", "PYTHON", "OPENAI", "ANTHROPIC"))
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        env=kept | {"HOME": str(folder)} | env,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 240)
    return process.returncode, out.decode()


async def test_every_client_gets_what_it_expects(python: Path, tmp_path: Path) -> None:
    """One process for all suites: importing the clients takes longer than what they do."""
    suite = HERE / "suite"
    options = f"-q -x --import-mode=importlib -c {os.devnull} --rootdir={suite} --confcutdir={suite}".split()
    options += ["-p", "no:cacheprovider", "-o", "python_files=*.py"]
    async with spine(tmp_path, 0.2) as url:  # long enough for a stream
        names = [str(suite / name) for name in SUITES]
        code, out = await _run([str(python), "-m", "pytest", *options, *names], tmp_path, SPINE_URL=url)
    assert code == 0, out
    assert " passed" in out and "skipped" not in out


PATHS = {
    "/v1/chat/completions": "fake",
    "/v1/completions": "fake",
    "/v1/embeddings": "fake-embed",
    "/v1/moderations": "fake",
    "/v1/responses": "fake",
    "/v1/messages": "fake",
    "/v1/messages/count_tokens": "",
}
"""And a model for each that calls one: one that nobody has would be all that was ever tried."""


async def test_what_the_description_allows_is_answered_and_the_rest_refused_as_it_says(
    python: Path, tmp_path: Path
) -> None:
    """Which fields go together it cannot say, so that what is allowed may still be refused."""
    async with spine(tmp_path, 0.0) as url:
        async with httpx.AsyncClient(base_url=url) as api:
            document = (await api.get("/openapi.json")).json()
        for path, model in PATHS.items():
            content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
            if model:
                content["schema"]["properties"]["model"] = {"const": model}
                content["example"]["model"] = model
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        wanted = "^(" + "|".join(PATHS) + ")$"
        told = f"run openapi.json --url {url} --include-path-regex {wanted} --exclude-checks positive_data_acceptance"
        bounds = "--max-examples 10 --generation-deterministic --phases examples,coverage,fuzzing --request-timeout 20"
        command = [str(python), str(python.with_name("schemathesis")), *told.split(), *bounds.split(), "--no-color"]
        code, out = await _run([*command, "-H", "Authorization: Bearer secret"], tmp_path)
    assert code == 0, out
    assert f"{len(PATHS)} selected" in out
