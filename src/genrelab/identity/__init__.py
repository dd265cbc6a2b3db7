"""Who and what is the same, however it is written: genres, artists, recordings.

In: names as tags, folders and tables hold them. Out: one genre, one person or group, one recording for all spellings.
Start with `artists.py`.
"""
