"""Documents, and what in them answers a question: read, cut into chunks, the nearest found, the citations checked.

Nothing here knows pipelines, HTTP or Kafka. What is kept stands behind a port (`nearest.Index`).
"""
