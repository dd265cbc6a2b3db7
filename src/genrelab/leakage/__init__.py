"""Finds tracks, audio, recordings, artists and albums that are in both the training and the test set.

In: `records.prepared.Prepared` and a split. Out: an audit as JSON, and the error that stops a leaking training.
Start with `audit.py`.
"""
