"""OpenAI's Responses: their items in, a chat of the ledger behind them, their items out. Any provider may answer.

`wire` reads bodies and `items` their turns; `answers` writes responses and `events` tells them while they are made, all pure;
`door` asks, `stored` shows, cancels and lets go of what was asked, `telling` tells its stream again.
"""
