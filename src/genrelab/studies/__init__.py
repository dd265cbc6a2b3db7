"""Further questions about a run, one file a question.

Each file of a question offers `study(prepared, run, settings, *, models, say, bar)`, which writes its JSON into RUN
and returns it, and `table(found)`, the rows under `HEADERS` that a person is shown. Of those that need other models
than the run's own `refits.py` fits them and `folding.py` says which tracks are held out together.
"""
