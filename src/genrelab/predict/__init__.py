"""From a bundle and audio to a `Prediction`.

In: a file, samples, or a list of files. Out: `prediction.Prediction`; that of a file that fails has an `error`.
Start with `classifier.py` and `file.py`; only `pooling.py` pools windows, `batch.py` is for many files, `cache.py`
stores answers.
"""
