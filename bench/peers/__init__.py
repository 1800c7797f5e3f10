"""Loops as their libraries' own documentation writes them, doing the same work as the bare loop; pinned in `requirements.txt`."""
