"""Which tracks are learned from, which choose, which are scored; artists stay on one side.

In: genres, artists and official parts. Out: `split.Split`, a part and a role for each track. Start with `split.py`.
"""
