"""What can be asked, with `await`; `_sync` is made from it."""
