"""Anthropic's Messages: their words in, a chat of the ledger behind them, their words out. Any provider may answer.

`wire` reads bodies, `answers` writes messages and events, both pure; `shape` writes errors; `door` is the rest, on the ground of
`streams.web.openai.door`.
"""
