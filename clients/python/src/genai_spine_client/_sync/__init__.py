# Made by `python -m scripts.client` from _async/__init__.py; change it there.
"""What can be asked, without `await`."""
