"""From a bundle and audio to a `Prediction`.

In: a file, samples, or a list of files. Out: `prediction.Prediction`; a file that fails is an answer with an `error`.
Start with `classifier.py` and `file.py`; windows are pooled in `pooling.py` and nowhere else, `batch.py` is for many
files, `cache.py` remembers answers.
"""
