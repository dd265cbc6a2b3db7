"""The check-up: is this machine fit for work, and are these data?

In: nothing, or a dataset. Out: findings with a remedy, and rows for `genrelab-exclude.csv`. Start with `machine.py` and
`data.py`.
"""
