"""Wordings in memory: those used last, up to so many bytes, and whatever somebody works with."""

import gc

import pytest

from prompts.errors import ChangedPrompt, UnreadPrompt
from prompts.kept import Kept, Key, Read
from prompts.registered import wording

pytestmark = pytest.mark.fast


def read(number: int, size: int = 10) -> dict[Key, Read]:
    return {("a", number): Read(wording("a", "a", "", {"version": number, "user": "x", "notes": "x"}), size)}


def there(kept: Kept, *numbers: int) -> list[int]:
    gc.collect()
    return [number for number in numbers if ("a", number) in kept]


def test_what_was_used_longest_ago_goes_first_and_the_rest_is_no_more_than_there_is_room_for() -> None:
    kept = Kept(30)
    for number in (1, 2, 3):
        kept.put(read(number))
    kept.find(("a", 1), "a")
    kept.put(read(4))
    assert (there(kept, 1, 2, 3, 4), kept.size) == ([1, 3, 4], 30)
    kept.put(read(4, 15))  # read again, it counts once
    assert (there(kept, 1, 3, 4), kept.size) == ([1, 4], 25)


def test_one_that_is_larger_than_all_room_is_kept_until_the_next_one_comes() -> None:
    kept = Kept(30)
    kept.put(read(1, 100))
    assert there(kept, 1) == [1]
    kept.put(read(2))
    assert (there(kept, 1, 2), kept.size) == ([2], 10)


def test_what_somebody_works_with_is_found_whatever_was_read_since() -> None:
    kept = Kept(10)
    kept.put(read(1))
    mine = kept.held([("a", 1)])
    kept.put(read(2))
    assert kept.find(("a", 1), "a") is mine[0]
    mine.clear()
    assert there(kept, 1, 2) == [2]


def test_what_is_missed_is_told_once() -> None:
    kept = Kept(10)
    for _ in range(2):
        with pytest.raises(UnreadPrompt, match="version 7 of the prompt 'a' is not in memory"):
            kept.find(("a", 7), "a")
    assert (kept.missed(), kept.missed()) == ([("a", 7)], [])


def test_what_is_no_prompt_says_so_each_time() -> None:
    kept = Kept(10)
    kept.put({("a", 1): Read("`user`: missing", 4)})
    with pytest.raises(ChangedPrompt, match="version 1 of the prompt 'a' cannot be read: `user`: missing"):
        kept.find(("a", 1), "a")
    assert (kept.missed(), kept.held([("a", 1)])) == ([], [])
