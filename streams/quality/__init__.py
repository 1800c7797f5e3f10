"""`genai-spine bench quality`: labelled texts of our own, run through the ordinary path, and how good the answers are.

`texts` reads the labels, `asks` makes requests of them, `judges` look at one operation's answers and `score` adds up (both pure),
`run` asks the engine.
"""
