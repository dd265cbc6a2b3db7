"""What lies at ROOT: tracks with genre, artist, album and official split. Nothing is decoded.

In: a folder or a table. Out: `base.Dataset`. One module a source; `registry.py` finds out which one fits.
Start with `base.py` and `registry.py`.
"""
