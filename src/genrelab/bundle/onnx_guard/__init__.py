"""What a stranger's ONNX graph would do, measured without running it: operators, sizes, memory, multiplications.

In: the bytes of `model.onnx`. Out: nothing, or a refusal that says what is wrong. Start with `limits.py`.
"""
