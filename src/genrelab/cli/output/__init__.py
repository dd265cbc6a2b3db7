"""What commands print: predictions, tags, findings, leaderboards; as text, JSON or CSV.

Nothing here computes; each function takes a result and prints it.
"""
