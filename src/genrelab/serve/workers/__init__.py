"""The queue of files, and the processes that classify them.

In: jobs. Out: answers; a process that hangs or dies costs its own file. Start with `queue.py`; `worker.py` is what
runs in the process.
"""
