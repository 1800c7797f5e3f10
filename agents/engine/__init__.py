"""The engine: claims rows, gives them slots, runs their operation, commits what happened. No provider is called otherwise.

`policy` and `shelf` decide and are pure; `caller` is one request's way to its model, `calling` makes its calls; `task` runs one request;
`engine` holds it all together; `keeper` is the pulse: heartbeat, takeover, cancels, polling.
"""

from agents.engine.engine import Engine, Limits

__all__ = ["Engine", "Limits"]
