"""From a clip to arrays: log-mel images, 518 statistics, descriptors, frames, tempo and key, a fingerprint.

In: samples and their rate. Out: windows of one view. `views.py` is the only place where this happens, for training and
for serving: start there.
"""
