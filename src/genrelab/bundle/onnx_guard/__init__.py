"""Measures an ONNX graph from an untrusted source without running it: operators, sizes, memory, multiplications.

In: the bytes of `model.onnx`. Out: nothing, or an error that says what is wrong. Start with `limits.py`.
"""
