"""Where to read on when a partition is assigned."""

import pytest

from store.ledger.progress import Progress, Start, decide

pytestmark = pytest.mark.fast

# the ledger took in 0..99, saw the group commit 90, and the record at 99 has timestamp 7
KNOWN = Progress(next_offset=100, last_timestamp=7, committed_seen=90, replay_until=0)
# an operator's reset to 40 was read up to 60 when the process died
REPLAYING = Progress(next_offset=60, last_timestamp=5, committed_seen=40, replay_until=100)


@pytest.mark.parametrize(
    ("known", "committed", "begin", "end", "timestamp", "expected"),
    [
        # never seen, and the group has no offset: from the log's start
        (None, None, 10, 50, None, Start("new", 10, Progress(10, -1, 10, 0))),
        # never seen, but the group was here (a new ledger): it goes on
        (None, 20, 10, 50, None, Start("new", 20, Progress(20, -1, 20, 0))),
        # its offset is older than what the log still has
        (None, 5, 10, 50, None, Start("new", 10, Progress(10, -1, 10, 0), missed=5)),
        # its offset is beyond the log's end: of a topic that was deleted
        (None, 90, 10, 50, None, Start("new", 10, Progress(10, -1, 10, 0))),
        # all agree
        (KNOWN, 100, 0, 120, 7, Start("on", 100, KNOWN)),
        # the ledger committed, Kafka did not hear of it any more: nothing is read twice
        (KNOWN, 90, 0, 120, 7, Start("on", 100, KNOWN)),
        # Kafka heard of it, the ledger did not hear that it did
        (KNOWN, 95, 0, 120, 7, Start("on", 100, KNOWN)),
        # behind what we saw committed: only an operator can have done that
        (KNOWN, 89, 0, 120, 7, Start("reset", 89, Progress(89, -1, 89, 100))),
        (KNOWN, 0, 0, 120, 7, Start("reset", 0, Progress(0, -1, 0, 100))),
        # before the log's start: from where it still is
        (KNOWN, 10, 30, 120, 7, Start("reset", 30, Progress(30, -1, 30, 100))),
        # ahead of the ledger: 100..109 would never be taken in
        (KNOWN, 110, 0, 120, 7, Start("hole", 100, KNOWN)),
        # the group's offsets expired: the ledger knows
        (KNOWN, None, 0, 120, 7, Start("lost", 100, KNOWN)),
        # retention went past us, and took the record that would prove the topic the same
        (KNOWN, 90, 105, 120, None, Start("on", 105, Progress(105, -1, 90, 0), missed=5)),
        (KNOWN, None, 105, 120, None, Start("lost", 105, Progress(105, -1, 90, 0), missed=5)),
        # an operator's reset to what is not there any more, and 100..104 were never read
        (KNOWN, 10, 105, 120, None, Start("reset", 105, Progress(105, -1, 105, 100), missed=5)),
        # shorter than what was read: another topic of the same name
        (KNOWN, None, 0, 30, None, Start("anew", 0, Progress(0, -1, 0, 0))),
        (KNOWN, 90, 0, 99, None, Start("anew", 0, Progress(0, -1, 0, 0))),
        # empty as it was left: the same
        (KNOWN, 100, 100, 100, None, Start("on", 100, KNOWN)),
        # long enough again, but another record stands at 99
        (KNOWN, None, 0, 120, 8, Start("anew", 0, Progress(0, -1, 0, 0))),
        (KNOWN, 100, 0, 120, 8, Start("anew", 0, Progress(0, -1, 0, 0))),
        # a crash in the middle of a replay: it goes on replaying
        (REPLAYING, 50, 0, 120, 5, Start("on", 60, REPLAYING)),
        # moved back again meanwhile: what was decided up to 100 is still a replay
        (REPLAYING, 10, 0, 120, 5, Start("reset", 10, Progress(10, -1, 10, 100))),
        # moved back again after the replay went on to new records
        (
            Progress(130, 9, 120, 100),
            110,
            0,
            140,
            9,
            Start("reset", 110, Progress(110, -1, 110, 130)),
        ),
        # right after a reset nothing was read: no timestamp is known to compare
        (Progress(40, -1, 40, 100), 40, 0, 120, 3, Start("on", 40, Progress(40, -1, 40, 100))),
    ],
)
def test_at_assignment(
    known: Progress | None, committed: int | None, begin: int, end: int, timestamp: int | None, expected: Start
) -> None:
    assert decide(known, committed=committed, begin=begin, end=end, timestamp=timestamp) == expected
