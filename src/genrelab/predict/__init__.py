"""From a bundle and audio to a `Prediction`; windows are pooled in `file.py` and nowhere else.

In: a file, samples, or a list of files. Out: `prediction.Prediction`; a file that fails is an answer with an `error`.
Start with `classifier.py`; `batch.py` is for many files, `cache.py` remembers answers.
"""
