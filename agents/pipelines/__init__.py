"""Pipelines: what a definition says, whether it can run, and what stands at its references. Nothing here knows a database.

`references` and `conditions` are the definition's small language; `functions` is the table of what steps may use beside
operations; `checking` finds what is wrong, `defining` reads definitions, `drawing` shows them.
"""
