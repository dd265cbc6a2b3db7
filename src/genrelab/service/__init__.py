"""Genres over HTTP: what `serve.py` runs, one file for each thing that a request meets on its way."""
