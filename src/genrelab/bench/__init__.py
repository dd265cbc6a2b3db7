"""How long will `prepare` and training take on this machine, and how much disk?

In: a dataset, or synthesised music. Out: measured stages and a prediction for each data set. Start with `bench.py`.
"""
