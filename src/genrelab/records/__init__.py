"""Reads and writes PREPARED: TFRecord shards, tables, and examples for a model.

In: the folder that `prepare` wrote. Out: `prepared.Prepared`, `task.Task` (genres, labels, split) and
`examples.Examples` (arrays in memory, or tf.data batches). Start with `prepared.py`.
"""
