"""Kafka's storage is formatted once, beside its place, and renamed into it: half a format is never started."""

import base64
import shutil
import uuid
from pathlib import Path

from streams.broker import config, errors, process
from streams.broker.process import Home


def format_once(home: Home, jar_folder: Path) -> str:
    """Makes the log directory; its new cluster id. Asked only while nobody holds the data and there is no id yet."""
    _refuse_foreign(home)
    fresh = home.logs.with_name("logs.new")
    shutil.rmtree(fresh, ignore_errors=True)
    properties = home.path / "format.properties"
    properties.write_text(config.server_properties(config.Ports(1, 2), Path(fresh.name), max_bytes=1024 * 1024))
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    if cluster.startswith("-"):
        cluster = "A" + cluster[1:]  # Kafka's option parser takes a leading dash for an option
    done = process.run(
        home,
        process.command(jar_folder, home, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)),
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise errors.NotStarted(
            f"Kafka's storage in {home.path} could not be prepared: {said[-600:]}\n{errors.remedy(said)}"
        )
    fresh.rename(home.logs)
    return cluster


def _refuse_foreign(home: Home) -> None:
    """Data without an id (meta.properties lost) is not ours to delete: a person decides."""
    if not home.logs.exists():
        return
    if any(home.logs.iterdir()):
        raise errors.NotStarted(
            f"{home.logs} holds data but no meta.properties, so Kafka cannot open it. "
            f"Move it away (for example to {home.logs.name}.old) and start again, or restore the file."
        )
    home.logs.rmdir()
