"""The parts that tests stand on; each gives an address, wherever it comes from."""

pytest_plugins = ["tests.parts.shared", "tests.parts.kafka", "tests.parts.postgres"]
