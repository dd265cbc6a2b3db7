"""The queue of files, and the processes that classify them.

In: jobs. Out: answers; a process that hangs or dies affects its own file only. Start with `queue.py`; `worker.py`
runs in the process.
"""
