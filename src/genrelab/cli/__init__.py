"""The command line: each command parses, calls one function, prints.

In: words. Out: results on stdout, progress and news on stderr, an exit status. Start with `main.py` (the list of
commands), then `make.py`, `use.py` and `serve.py`.
"""
