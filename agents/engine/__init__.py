"""The engine: claims rows, gives them slots, runs their operation, commits what happened. No provider is called otherwise.

`policy` and `shelf` decide and are pure; `caller` is one request's way to its model, and `calling` makes its calls; `task` runs one
request; `dispatch`, `recalls` and `recording` begin rows, call them back and commit what became of them; `engine` holds it all together;
`keeper` is the pulse: heartbeat, takeover, cancels, polling.
"""
