"""What is run by hand or by the set-up, never by the program: `python -m scripts.NAME`."""
