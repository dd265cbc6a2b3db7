"""The parts of the HTML page: blocks, charts, and one file for each section.

In: what RUN or PREPARED holds. Out: sections of sentences and blocks, rendered into one file that needs no network.
Start with `blocks.py` (what a page is made of) and `run.py` (the page of a run).
"""
