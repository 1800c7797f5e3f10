"""What the spine costs, measured on this machine: `python -m bench`; the tables of `docs/performance.md` are its output."""
