"""A trained model as a portable folder: ONNX, its settings, its card; and the one that comes with the package.

In: an ONNX graph and what is known of the model, or such a folder. Out: `bundle.Bundle`. Start with `bundle.py`;
`onnx_guard/` measures a graph before it may run.
"""
