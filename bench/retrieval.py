"""How long it takes to find the nearest of very many passages: `python -m bench --only retrieval [--many 100000]`.

The way of `rag_pipeline`: batches of embeddings kept in the ledger's database, all of them looked through for a question. They lie
in clusters, as those of texts do; what is found is held against all cosines, computed from the numbers as they were made.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console

from agents.embed import BATCH
from agents.retrieval.index import ByPgvector, opened
from bench import ground, report
from bench.ground import Ground
from bench.ledger import servers
from bench.report import Line, Report, at_least, at_most, percentile
from store.database import Database, parse_url
from store.migrate import migrate
from store.passages import kept

DIMENSIONS, MOST, QUESTIONS, WARM = 384, 10, 100, 5
_CLUSTERS, _WIDTH = 1_000, 0.6
_PUT = 50
_TENANT, _MODEL = "default", "bench/model"
Matrix = Any


async def measure(where: Ground, databases: Sequence[str], many: int, questions: int) -> Report:
    """Each database; milliseconds in the process that asks, one question after another."""
    vectors, asked = _made(many, questions)
    exact = _exact(vectors, asked)
    lines, notes = [], []
    for side in databases:
        database = Database(parse_url(await ground.fresh_database(where, side)))
        await migrate(database)
        index = await opened(database)
        way = "pgvector" if isinstance(index, ByPgvector) else "in process"
        began = time.perf_counter()
        keys = await _filled(index, vectors)
        filled = time.perf_counter() - began
        await database.write(_analyze)
        places = {key: number * BATCH for number, key in enumerate(keys)}
        took: dict[str, list[float]] = defaultdict(list)
        for number, question in enumerate([*asked[:WARM], *asked]):
            began = time.perf_counter()
            found = await index.nearest(keys, question.tolist(), MOST)
            if number >= WARM:
                took["ms"].append(1000 * (time.perf_counter() - began))
                here = {places[key] + place for key, place, _ in found}
                took["recall"].append(len(here & exact[number - WARM]) / MOST)
        await database.aclose()
        lines.append(Line(side, "p50", "ms", [percentile(took["ms"], 0.5)]))
        lines.append(at_most(side, "p95", "ms", [percentile(took["ms"], 0.95)], 50))
        lines.append(at_least(side, f"recall@{MOST}", [sum(took["recall"]) / questions], 0.95))
        notes.append(f"{side}: {way}; kept in {filled:.0f} s")
    what = f"the {MOST} nearest of {many:,} passages x {DIMENSIONS}"
    return Report("retrieval", what, lines, notes)


def _made(many: int, questions: int) -> tuple[Matrix, Matrix]:
    """Passages, and questions that lie near to one of them; the same in every run."""
    chance = np.random.default_rng(20_251_122)
    centres = chance.standard_normal((_CLUSTERS, DIMENSIONS), np.float32)
    of = chance.integers(_CLUSTERS, size=many)
    vectors = centres[of] + _WIDTH * chance.standard_normal((many, DIMENSIONS), np.float32)
    near = vectors[chance.integers(many, size=questions)]
    return vectors, near + _WIDTH * chance.standard_normal(near.shape, np.float32)


def _exact(vectors: Matrix, asked: Matrix) -> list[set[int]]:
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return [set(np.argsort(-(units @ question), kind="stable")[:MOST].tolist()) for question in asked]


async def _filled(index: Any, vectors: Matrix) -> list[bytes]:
    """Their keys, in order."""
    batches = {}
    keys = []
    for start in range(0, len(vectors), BATCH):
        key = kept.key(_TENANT, _MODEL, DIMENSIONS, [str(start)])
        keys.append(key)
        batches[key] = vectors[start : start + BATCH]
        if len(batches) == _PUT:
            await index.put(_TENANT, _MODEL, batches)
            batches = {}
    if batches:
        await index.put(_TENANT, _MODEL, batches)
    return keys


def _analyze(conn: Any) -> None:
    conn.exec_driver_sql("ANALYZE")


async def main(databases: Sequence[str], *, many: int, short: bool, console: Console) -> None:
    """Measures, shows and saves."""
    with servers(postgres="postgres" in databases) as (folder, postgres):
        found = await measure(Ground(folder, "", postgres), databases, many, 20 if short else QUESTIONS)
    command = f"python -m bench --only retrieval --many {many}" + (" --short" if short else "")
    report.show(found, command, console)
    report.save(found, command)
