"""Splits tracks into training, validation and test set; artists stay in one set.

In: genres, artists and official parts. Out: `split.Split`, a part and a role for each track. Start with `split.py`.
"""
