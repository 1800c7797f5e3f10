"""The HTTP doors.

app        the routes, derived from OPERATIONS
front      what the doors see of their process, from before its parts are there until after they are gone
asking     POST /v1/<operation>
looking    GET: one request; listing: many; books: usage, costs; models
page       GET /, for people; reference: /docs; rendering and assets/: what both are made of
describing the OpenAPI document; examples: what it shows
health     /health and /ready; metrics: /metrics
waiters    callers who wait for a result
layers     what lies around every route: ids, auth, compression, other origins
bodies, queries, cursors, replies, showing, problems, server
"""
