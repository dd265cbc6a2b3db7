"""Genres written into the tags of a library, and taken back; playlists.

In: a folder and a classifier. Out: tagged copies that replaced the files, and a journal. Start with `tag.py` and
`untag.py`; `formats.py` knows the 13 containers.
"""
