"""Further questions about a run, one file a question.

In: PREPARED, RUN and settings. Out: `study(...)` writes one JSON into RUN and returns it; `table(found)` makes the rows
under `HEADERS`. Start with `honesty.py`; studies that change the audio use `reclassify.py`.
"""
