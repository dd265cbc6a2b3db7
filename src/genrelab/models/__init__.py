"""The models that can be trained, all with one interface: `fit`, `predict_proba`, `onnx`.

In: `records.examples.Examples`. Out: a fitted model and its ONNX graph. Start with `base.py` (the interface) and
`registry.py` (the names); `keras_base.py` is the part that the networks share.
"""
