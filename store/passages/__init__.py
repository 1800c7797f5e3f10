"""Embeddings of passages, kept by what they are of: asked for again by the same tenant of the same model, none is made anew.

A batch of passages of one document is a row. Where PostgreSQL has pgvector, its vectors are rows of a table of their own and
the database looks for the nearest; elsewhere they stand in the batch's row as bytes, and the caller does.
"""
