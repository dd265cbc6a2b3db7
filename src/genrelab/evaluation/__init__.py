"""How good a model is, and how certain that is: scores, intervals, comparisons, calibration, verdict, warnings, plots.

In: true genres and probabilities as arrays. Out: numbers, sentences and pictures; no files are read.
Start with `metrics.py`, then `intervals.py`.
"""
