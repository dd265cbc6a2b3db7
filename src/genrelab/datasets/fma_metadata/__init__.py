"""FMA's own tables: tracks.csv, genres.csv, features.csv, echonest.csv.

`tables.py` finds, opens and checks them and reads rows without pandas, for `datasets/fma.py`. `dataframes.py` reads
them as DataFrames, for users (`genrelab.read_fma_tracks` and its kin).
"""
