"""The prompt registry in SQL: prompts, their versions that never change, the labels that move over them, and each move."""
