"""RUN → leaderboard and page.

In: the models' `metrics.json` and `predictions.parquet`. Out: `leaderboard.{csv,md,json,png}` and `report.html`.
Start with `report.py`; `page/` holds the parts of the page, `templates/` its HTML.
"""
