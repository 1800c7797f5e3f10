"""OpenAI's paths: their words in, the ledger's requests behind them, their words out.

`chat`, `completions` and `embeddings` read bodies and write answers, pure; `shape` writes errors; `naming` says who answers to a
model's name; `door` accepts, waits and answers; `sse` sends an answer while it is made.
"""
