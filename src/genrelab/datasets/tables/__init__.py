"""What the columns and cells of a table mean, for `datasets/table.py`.

`roles.py` finds the roles of columns by their names, `columns.py` the features by their cells, `numbers.py` reads
numbers in every notation, `paths.py` finds files under other spellings, `recordings.py` names and groups rows.
"""
