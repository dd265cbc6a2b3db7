"""The WebSocket: audio in, a prediction for every second out, in a process of its own for each stream.

In: messages of `protocol.py`. Out: the same. Start with `route.py`, then `session.py`; `worker.py` is what runs in the
process.
"""
