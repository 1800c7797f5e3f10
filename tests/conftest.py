"""The parts that tests stand on; each gives an address, wherever it comes from."""

import signal

pytest_plugins = ["tests.parts.shared", "tests.parts.kafka", "tests.parts.postgres"]

# a shell starts what runs in the background with Ctrl-C ignored, and children inherit that: theirs would never arrive
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
