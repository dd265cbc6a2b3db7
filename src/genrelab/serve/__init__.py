"""Genres over HTTP and the page in the browser (`genrelab serve`).

In: requests with audio. Out: predictions. Start with `app.py` (the routes) and `handlers.py` (what they answer);
`http/` reads requests, `workers/` classifies files in processes, `stream/` is the WebSocket, `web/` the page.
"""
