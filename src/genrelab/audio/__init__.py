"""From names on a disk to mono float32 samples at the file's own rate.

In: paths. Out: `clips.Clip` (samples, rate, start in seconds), or a `DecodeError` that names the file.
Start with `clips.py`; `reader.py` chooses between libsndfile and FFmpeg.
"""
