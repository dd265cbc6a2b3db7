"""What the columns and cells of a table mean, for `datasets/table.py`.

`roles.py` says by their names what columns are for, `columns.py` by their cells which are features, `numbers.py` reads
numbers in every notation, `paths.py` finds files under other spellings, `recordings.py` names rows and groups them.
"""
