"""The registry of prompts for both doors: what is there, how it is changed, and every process's copy of it."""
