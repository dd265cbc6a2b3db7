"""Trains the models of a run: each is trained, calibrated, tested and bundled.

In: `records.task.Task` and settings. Out: RUN/MODEL. Start with `model_runs.py`; `cross_fit.py` trains models on folds
for studies and searches.
"""
