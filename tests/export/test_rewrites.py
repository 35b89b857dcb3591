"""Graphs rewritten for a runtime's sake: the same sums, and only what was meant."""

import numpy as np
import pytest

from strongreid.export.rewrites import pick_before_strided, pool_globally

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def model_of(*nodes, shape, out_rank=4, **constants):
    """Nodes from x to y as an ONNX model; x has the given shape after the batch."""
    from onnx import helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node(kind, inputs, outputs, **attributes) for kind, inputs, outputs, attributes in nodes],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * out_rank)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def rewritten(model, change):
    """The model changed, how many nodes were, and its kinds of nodes."""
    from onnxscript import ir

    read = ir.from_proto(model)
    count = change(read)
    other = ir.to_proto(read)
    onnx.checker.check_model(other)
    return other, count, [node.op_type for node in other.graph.node]


def run(model, images):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": images})[0]


def drawn(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("strides", [[2, 2], [1, 2], [3, 2]])
@pytest.mark.parametrize(("height", "width"), [(8, 4), (7, 5)])
def test_a_strided_1x1_convolution_gets_its_pixels_picked(strides, height, width):
    convolution = ("Conv", ["x", "w", "b"], ["y"], {"strides": strides, "pads": [0] * 4})
    model = model_of(convolution, shape=(6, height, width), w=drawn(5, 6, 1, 1), b=drawn(5))
    other, count, kinds = rewritten(model, pick_before_strided)
    assert (count, kinds) == (1, ["MaxPool", "Conv"])
    images = drawn(3, 6, height, width)
    np.testing.assert_allclose(run(other, images), run(model, images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (1, {}),
        (1, {"strides": [1, 1]}),
        (1, {"strides": [2, 2], "pads": [1] * 4}),
        (1, {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        (3, {"strides": [2, 2], "pads": [1] * 4}),
    ],
)
def test_other_convolutions_keep_their_strides(size, options):
    model = model_of(("Conv", ["x", "w"], ["y"], options), shape=(6, 8, 4), w=drawn(5, 6, size, size))
    other, count, _ = rewritten(model, pick_before_strided)
    assert count == 0
    assert other.graph.node[0] == model.graph.node[0]


@pytest.mark.parametrize("axes", [[2, 3], [-1, -2]])
def test_a_mean_over_maps_is_a_pooling(axes):
    model = model_of(("ReduceMean", ["x", "axes"], ["y"], {}), shape=(6, 8, 4), axes=np.array(axes))
    other, count, kinds = rewritten(model, pool_globally)
    assert (count, kinds) == (1, ["GlobalAveragePool"])
    images = drawn(3, 6, 8, 4)
    np.testing.assert_allclose(run(other, images), images.mean(axis=(2, 3), keepdims=True), atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "axes", "keepdims", "out_rank"),
    [((6, 8, 4), [2], 1, 4), ((6, 8, 4), [1, 2], 1, 4), ((6, 8, 4), [2, 3], 0, 2), ((6, 8), [1, 2], 1, 3)],
)
def test_other_means_stay(shape, axes, keepdims, out_rank):
    node = ("ReduceMean", ["x", "axes"], ["y"], {"keepdims": keepdims})
    model = model_of(node, shape=shape, out_rank=out_rank, axes=np.array(axes))
    _, count, kinds = rewritten(model, pool_globally)
    assert (count, kinds) == (0, ["ReduceMean"])
