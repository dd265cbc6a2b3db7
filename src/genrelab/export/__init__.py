"""A trained model in another form: ONNX, waveform to genres in one graph, LiteRT, SavedModel.

In: RUN/MODEL. Out: a folder, and a check that all forms give the same probabilities. Start with `export.py` and
`formats.py`.
"""
