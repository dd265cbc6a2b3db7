"""Joins different spellings of genres, artists and recordings.

In: names in tags, folders and tables. Out: one genre, one person or group, one recording for all spellings.
Start with `artists.py`.
"""
