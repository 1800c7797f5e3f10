"""The HTTP doors.

app        the routes, derived from OPERATIONS
front      what the doors see of their process, from before its parts are there until after they are gone
asking     POST /v1/<operation>
looking    GET: one request, usage, costs
health     /health and /ready; metrics: /metrics
waiters    callers who wait for a result
bodies, problems, auth, server
"""
