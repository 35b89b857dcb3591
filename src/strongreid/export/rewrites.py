"""An ONNX graph rewritten so that runtimes get through it quicker, with the same sums: every rewriting, in order."""

from __future__ import annotations

from typing import Any

from strongreid.export.winograd import use_winograd


def rewrite(model: Any) -> None:
    """Rewrite an `onnxscript.ir.Model` in place."""
    pick_before_strided(model)
    pool_globally(model)
    use_winograd(model)


def pick_before_strided(model: Any) -> int:
    """Put a pooling of single pixels before each strided 1x1 convolution; returns how many.

    With the pixels that count side by side the convolution is one matrix product, which ONNX Runtime computes a fifth
    quicker than picking pixels as it goes.
    """
    from onnxscript import ir

    found = [node for node in model.graph if _is_strided_1x1(node)]
    for node in found:
        tape = ir.tape.Tape()
        strides = list(node.attributes["strides"].value)
        picked = tape.op("MaxPool", [node.inputs[0]], {"kernel_shape": [1, 1], "strides": strides})
        model.graph.insert_before(node, tape.nodes)
        node.replace_input_with(0, picked)
        node.attributes["strides"] = ir.AttrInt64s("strides", [1, 1])
    return len(found)


def pool_globally(model: Any) -> int:
    """Name a mean over whole maps what it is, which spares ONNX Runtime a change of layout; returns how many."""
    from onnxscript import ir

    found = [node for node in model.graph if _is_global_mean(node)]
    for node in found:
        tape = ir.tape.Tape()
        pooled = tape.op("GlobalAveragePool", [node.inputs[0]])
        ir.convenience.replace_nodes_and_values(model.graph, node, [node], tape.nodes, node.outputs, [pooled])
    return len(found)


def _is_strided_1x1(node: Any) -> bool:
    if node.op_type != "Conv" or node.domain:
        return False
    weight = node.inputs[1].const_value
    if weight is None or tuple(weight.shape)[2:] != (1, 1):
        return False
    told = {name: attribute.value for name, attribute in node.attributes.items()}
    padded = any(told.get("pads", [])) or told.get("auto_pad", "NOTSET") != "NOTSET"
    return max(told.get("strides", [1])) > 1 and not padded


def _is_global_mean(node: Any) -> bool:
    """Whether it is the mean over the last two of four axes, both kept."""
    if node.op_type != "ReduceMean" or node.domain or len(node.inputs) != 2 or node.inputs[1] is None:
        return False
    axes, shape = node.inputs[1].const_value, node.inputs[0].shape
    keeps = "keepdims" not in node.attributes or node.attributes["keepdims"].value == 1
    if axes is None or shape is None or len(shape) != 4 or not keeps:
        return False
    return sorted(axis % 4 for axis in axes.numpy().tolist()) == [2, 3]
