"""How good a model is, and how sure that is: scores, intervals, comparisons, calibration, warnings, plots.

In: true genres and probabilities as arrays. Out: numbers, sentences and pictures; no files are read.
Start with `metrics.py`, then `intervals.py`.
"""
