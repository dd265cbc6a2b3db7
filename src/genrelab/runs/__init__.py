"""A whole training: split, audit, models, studies, report; and RUN as a folder.

In: `records.prepared.Prepared` and settings. Out: RUN and its leaderboard. Start with `train.py`.
"""
