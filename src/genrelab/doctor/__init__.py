"""Checks this machine, and every file of a dataset.

In: nothing, or a dataset. Out: findings with remedies, and the tracks to exclude. Start with `machine.py` and
`data.py`.
"""
