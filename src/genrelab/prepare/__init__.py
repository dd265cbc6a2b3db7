"""A dataset becomes PREPARED: every track is decoded once, in worker processes, and all views are written.

In: `datasets.base.Dataset` and settings. Out: the folder that `records.prepared` reads. A killed preparation resumes.
Start with `pipeline.py`, then `rerun_plan.py` (up to date, relabel, rebuild) and `work_unit.py` (a few tracks).
"""
