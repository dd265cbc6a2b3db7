"""What a request passes before a handler sees it: connection limits, middleware, origins, bodies, uploads.

In: bytes of a client. Out: a file in the upload folder, or a problem. Start with `middleware.py` and `uploads.py`.
"""
