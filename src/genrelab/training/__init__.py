"""The models of one run, one after the other: fitted, calibrated, scored, bundled.

In: `records.task.Task` and settings. Out: RUN/MODEL. Start with `model_runs.py`; `cross_fit.py` fits models again for
studies and searches.
"""
