"""What the ledger keeps of the wordings of a request is read back, by older programs too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.pin import Pin, Prompted, pins, prompted

pytestmark = pytest.mark.fast

digests = st.text("0123456789abcdef", min_size=8, max_size=8)
labels = st.sampled_from(["production", "a.b-c_1", "0"])
shares = st.integers(1, 10).flatmap(lambda weight: st.tuples(st.just(weight), st.integers(weight + 1, 99)))
bare = st.builds(Pin, st.just("library/a"), st.integers(1, 99), digests)
labelled = st.builds(lambda pin, label: Pin(pin.id, pin.version, pin.digest, label), bare, labels)
shared = st.builds(lambda pin, share: Pin(pin.id, pin.version, pin.digest, pin.label, *share), labelled, shares)


@given(st.lists(bare | labelled | shared, max_size=4))
def test_what_is_written_is_read_back(told: list[Pin]) -> None:
    assert pins("\n".join(map(str, told))) == told


@given(shared)
def test_a_share_is_a_part_of_the_labels_word(pin: Pin) -> None:
    """Programs that know no shares read four words."""
    assert len(str(pin).split()) == 4


def test_a_result_names_the_arm_only_where_a_label_stands_for_several_versions() -> None:
    told = prompted("library/a 1 d\nlibrary/b 2 d production\n7f 4 d production@10/100")
    assert told == [
        Prompted(id="library/a", version=1),
        Prompted(id="library/b", version=2, label="production"),
        Prompted(id="7f", version=4, label="production", arm="production/4", share=0.1),
    ]
    assert prompted(None) == []
