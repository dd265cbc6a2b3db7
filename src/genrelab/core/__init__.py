"""What every other room needs: errors, settings, files behind any address, worker processes, text helpers.

It knows nothing of music. Start with `errors.py` (every error there is) and `config.py` (every setting there is).
"""
