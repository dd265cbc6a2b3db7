"""The search for hyper-parameters, on artist-grouped folds of the training set.

In: `records.prepared.Prepared` and a model's name. Out: `trials.json`, a database that can be resumed, a plot.
Start with `tune.py`; `best_params.py` reads the result for a training.
"""
