"""`genai-spine bench quality`: labelled texts of our own, run through the ordinary path, and how good the answers are.

`texts` reads the labels, `score` judges one operation's results (pure), `run` asks the engine.
"""
