"""`resource: gpu`: which nodes may run such a request, and the sentence for one that none can run. Pure.

A provider that tells nothing of its nodes counts as having a GPU behind each, as clouds do, unless it says that it has none.
An Ollama tells of a model that it holds how much of it is on a GPU; of a node that holds nothing it is not known.
"""

from collections.abc import Mapping


def fitting(nodes: Mapping[str, bool | None]) -> frozenset[str]:
    """Those that have one; where none is known to have one, those of which it is not known."""
    known = frozenset(node for node, has in nodes.items() if has)
    return known or frozenset(node for node, has in nodes.items() if has is None)


def refusal(provider: str, nodes: Mapping[str, bool | None]) -> str | None:
    """Why no node can run it; None: one can."""
    if fitting(nodes):
        return None
    return (
        f"resource 'gpu': no node of {provider} has a GPU ({', '.join(sorted(nodes))}). Name another provider, leave "
        "`resource` out, or name the nodes that have one in GENAI_OLLAMA_GPU_NODES."
    )
