"""Does the same track, audio, recording, artist or album stand on both sides of a split?

In: `records.prepared.Prepared` and a split. Out: an audit as JSON, and the error that stops a leaking training.
Start with `audit.py`.
"""
