"""Writes genres into the tags of a library, and restores the earlier tags; writes playlists.

In: a folder and a classifier. Out: tagged files, and a journal that restores them. Start with `tag.py` and
`untag.py`; `formats.py` knows the 13 containers.
"""
