"""Each fault, what is expected of it, and which test does it: written before it is run. `docs/reliability.md` holds this table.

python -m tests.chaos.faults    writes the table into the page
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, FINISH = "<!-- faults: made by python -m tests.chaos.faults -->", "<!-- faults: end -->"


@dataclass(frozen=True, slots=True)
class Fault:
    """`tried`: the test that does it, as `file::function`; empty: nobody has tried it yet, and the page says so."""

    name: str
    expected: str
    tried: str = ""


_STAGE = "tests/chaos/test_stage.py::test_killed_again_and_again_on_postgresql"
_FULL = "tests/chaos/test_full.py::test_workers_killed_again_and_again"
_PROVIDER = "tests/chaos/test_weather.py::test_the_way_to_the_provider"
_DATABASE = "tests/chaos/test_weather.py::test_the_way_to_the_database"
_BROKER = "tests/chaos/test_broker.py::test_a_broker_that_is_killed_and_comes_back"
_BROKERS_WAY = "tests/chaos/test_weather.py::test_the_way_to_the_broker"
_BAD = "tests/system/test_bad_input.py"

FAULTS: Sequence[Fault] = (
    Fault(
        "kill -9 at random",
        "others take over behind a lease; only calls under way may be paid twice, each is counted",
        _STAGE,
    ),
    Fault(
        "kill -9 at each kill point",
        "the same; before its first byte or behind its commit a call is never paid twice",
        _STAGE,
    ),
    Fault("kill -9 in the middle of the migration", "nothing is left of it, the next start does it whole", _STAGE),
    Fault("kill -9 in the middle of a takeover", "nothing of it is done, the next one does it whole", _STAGE),
    Fault(
        "kill -9 around the handing over of a batch to its provider",
        "the provider is asked for it first; it is handed over once, its answers are recorded once",
        "tests/streams/test_provider_batches.py"
        "::test_a_process_that_dies_between_handing_over_and_knowing_it_hands_nothing_over_twice",
    ),
    Fault("SIGTERM", "running calls have their grace, results are flushed, exit code 0", _STAGE),
    Fault(
        "SIGSTOP beyond a lease",
        "its work is taken over; resumed, it writes nothing more and ends with exit code 1",
        _STAGE,
    ),
    Fault(
        "workers join and leave",
        "the group shares the partitions anew; nothing is lost, repetitions are nothing",
        _FULL,
    ),
    Fault(
        "a worker that is declared dead while it lives",
        "it claims nothing and leases no destination any more",
        "tests/store/test_life.py::test_a_worker_that_was_declared_dead_leases_no_destination",
    ),
    Fault(
        "provider slow, reset, half-open, truncated, dripping, cut",
        "a call that broke after its first byte is booked wasted, made once more or failed as asked; all resumes",
        _PROVIDER,
    ),
    Fault(
        "database slow, reset, half-open, truncated, dripping, cut",
        "nobody is told 'done' meanwhile; all resumes by itself",
        _DATABASE,
    ),
    Fault("broker killed and restarted", "results wait in the ledger, intake goes on where it stood", _BROKER),
    Fault("broker slow, reset, half-open, truncated, dripping, cut", "as when it is restarted", _BROKERS_WAY),
    Fault(
        "poison: no JSON, nothing, another shape, incomplete, too deep",
        "a dead letter with its bytes, or a refusal if its id can be read; its neighbours never notice",
        _STAGE,
    ),
    Fault(
        "429 and 503 now and then, errors after execution, answers cut or unreadable",
        "tried again behind Retry-After or jitter; what ran is booked",
        _STAGE,
    ),
    Fault(
        "a node that is down",
        "its requests go to the other node now",
        f"{_BAD}::test_a_node_that_is_down_passes_its_requests_to_the_other_now",
    ),
    Fault(
        "a provider that is down",
        "its requests fail clearly, others go on",
        f"{_BAD}::test_a_provider_that_is_down_fails_its_requests_clearly_and_holds_up_no_other",
    ),
    Fault(
        "a flood of batch records",
        "realtime flows past it, the ledger takes in only its window",
        "tests/system/test_flood.py::test_realtime_flows_past_a_flood_of_batch",
    ),
    Fault(
        "a storm of 429",
        "no request fails; the calls in flight are cut, so that few calls are sent beyond those answered",
        "tests/streams/test_limits.py::test_a_storm_of_429_costs_few_calls_and_no_request",
    ),
    Fault(
        "a node dies with its models",
        "it is left alone after five refusals, tried again after ten seconds, and comes back",
        "tests/streams/test_limits.py::test_a_dead_node_is_left_alone_and_comes_back",
    ),
    Fault(
        "a node that takes calls and never answers",
        "a call's time-out ends it; others go on",
        "tests/system/test_outages.py::"
        "test_a_node_that_takes_calls_and_never_answers_holds_up_nobody_for_longer_than_a_call_may_take",
    ),
    Fault(
        "PostgreSQL stopped for longer than a lease",
        "nobody is declared dead for it; all goes on when it is back",
        "tests/system/test_outages.py::test_postgresql_goes_away_for_longer_than_a_lease_and_nobody_is_declared_dead",
    ),
    Fault(
        "a fifth of all commits cut off, before or after they were made",
        "what is not known is read again by its fence; nothing is paid twice",
        "tests/system/test_outages.py::test_lines_that_break_in_a_commit_lose_nothing_and_pay_nothing_twice",
    ),
    Fault(
        "an old database restored",
        "what was accepted since is taken in again, called again, and said to be",
        "tests/system/test_offsets.py::"
        "test_after_an_old_database_was_restored_everything_since_is_taken_in_again_and_its_cost_counted",
    ),
    Fault(
        "offsets lost, or moved forward",
        "reading goes on where the ledger stands; nothing is skipped",
        "tests/system/test_offsets.py::test_offsets_moved_forward_skip_nothing",
    ),
    Fault(
        "a loop that stands still",
        "its stacks are in the log, it exits with 1, and `up` starts one that finishes its work",
        "tests/system/test_stalls.py::test_a_blocked_loop_ends_its_process_and_up_starts_one_that_finishes_its_work",
    ),
    Fault("producers that repeat themselves", "one call; the recorded answer to the new place", _STAGE),
    Fault(
        "producers that contradict themselves",
        "the second payload is told idempotency_conflict, the first is untouched",
        _STAGE,
    ),
    Fault(
        "Faust drops what it fetched",
        "it is read again; every usage event reaches its total",
        "tests/system/test_consumer.py::test_flows_that_stop_and_partitions_that_pause_lose_nothing",
    ),
    Fault(
        "the ledger's disk is full",
        "intake stops without ack and says so; all resumes",
        f"{_BAD}::test_a_full_disk_stops_intake_says_so_and_resumes",
    ),
    Fault(
        "an ordered key with a failing head",
        "those behind wait for its end, other keys pass",
        "tests/system/test_follow.py::test_records_of_one_key_are_answered_in_the_order_of_their_offsets",
    ),
    Fault(
        "a greedy tenant",
        "others get their share",
        "tests/store/test_claim.py::test_a_quiet_tenant_and_a_realtime_row_are_claimed_past_a_full_shelf_and_a_flood",
    ),
    Fault(
        "the Faust table wiped",
        "it is folded anew from genai.usage, as far back as that topic is kept, and agrees again",
        "tests/chaos/test_table.py::test_a_wiped_table_is_folded_anew",
    ),
    Fault(
        "a clock that jumps on PostgreSQL",
        "nothing changes: deadlines, pauses and leases are held against the database's clock",
        "tests/system/test_fences.py::test_a_wrong_clock_changes_nothing_on_postgresql",
    ),
    Fault(
        "a clock that jumps on SQLite",
        "no lease is lost and no call made twice; pauses between tries may be longer",
        "tests/system/test_fences.py::test_on_sqlite_a_wrong_clock_costs_no_lease_and_no_call",
    ),
)


def table() -> str:
    """In Markdown."""
    lines = ["| fault | expected | tried by |", "|---|---|---|"]
    lines += [f"| {fault.name} | {fault.expected} | {_link(fault.tried)} |" for fault in FAULTS]
    return "\n".join(lines)


def _link(tried: str) -> str:
    if not tried:
        return "not yet"
    file, _, _ = tried.partition("::")
    return f"[{Path(file).stem}](../{file})"


def written(page: str) -> str:
    """The page with the table as it is now."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(FINISH)
    return f"{head}{BEGIN}\n{table()}\n{FINISH}{tail}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
