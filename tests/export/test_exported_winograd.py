"""Convolutions rewritten as matrix products: the same sums, and only where they pay."""

import numpy as np
import pytest

import strongreid.export.winograd as winograd
from strongreid.export.winograd import use_winograd

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def network(out, channels, height, width, *, size=3, bias=True, **attributes):
    """A convolution and a ReLU as an ONNX model of any batch."""
    from onnx import helper, numpy_helper

    draw = np.random.default_rng(0)
    weight = draw.standard_normal((out, channels // attributes.get("group", 1), size, size)) / np.sqrt(9 * channels)
    values = {"w": weight, "b": draw.standard_normal(out)} if bias else {"w": weight}
    nodes = [
        helper.make_node("Conv", ["x", *values], ["y"], **{"pads": [size // 2] * 4, **attributes}),
        helper.make_node("Relu", ["y"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", channels, height, width])],
        [helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["n", out, None, None])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def rewritten(model):
    """The model rewritten, and how many convolutions were."""
    from onnxscript import ir

    read = ir.from_proto(model)
    count = use_winograd(read)
    return ir.to_proto(read), count


def run(model, images):
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": images})[0]


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 4), (16, 8), (8, 16), (64, 32)])
@pytest.mark.parametrize("bias", [True, False])
def test_it_computes_the_same_convolution(height, width, bias):
    model = network(96, 64, height, width, bias=bias)
    other, count = rewritten(model)
    assert count == 1
    assert "Conv" not in {node.op_type for node in other.graph.node}
    assert [node.op_type for node in other.graph.node][-2:] == ["Relu", "Transpose"], (
        "a layout change next to its reader"
    )
    assert {"w", "b"}.isdisjoint(constant.name for constant in other.graph.initializer), "no weights twice"
    for batch in (1, 3, 8):
        images = np.random.default_rng(batch).standard_normal((batch, 64, height, width)).astype(np.float32)
        expected = run(model, images)
        np.testing.assert_allclose(run(other, images), expected, atol=2e-5 * expected.max())


def test_what_others_read_before_the_relu_is_kept():
    """A convolution whose plain result is added to its ReLU."""
    model = network(64, 64, 8, 4)
    model.graph.node.append(onnx.helper.make_node("Add", ["y", "z"], ["sum"]))
    model.graph.output[0].name = "sum"
    other, count = rewritten(model)
    assert count == 1
    images = np.random.default_rng(0).standard_normal((2, 64, 8, 4)).astype(np.float32)
    expected = run(model, images)
    np.testing.assert_allclose(run(other, images), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "options",
    [
        {"channels": 32},
        {"out": 32},
        {"height": 6},
        {"size": 5},
        {"size": 1},
        {"strides": [2, 2]},
        {"dilations": [2, 2], "pads": [2] * 4},
        {"pads": [0] * 4},
        {"group": 2},
    ],
)
def test_other_convolutions_stay(options):
    model = network(**{"out": 128, "channels": 128, "height": 8, "width": 4, **options})
    other, count = rewritten(model)
    assert count == 0
    assert [node.op_type for node in other.graph.node] == ["Conv", "Relu"]


def test_the_transforms_are_those_of_a_convolution_in_one_dimension():
    """By the definition: OUTPUT ((KERNEL k) * (INPUT d)) is the sliding product of k with six values d."""
    draw = np.random.default_rng(0)
    for _ in range(20):
        kernel, values = draw.standard_normal(3), draw.standard_normal(6)
        found = winograd.OUTPUT @ ((winograd.KERNEL @ kernel) * (winograd.INPUT @ values))
        np.testing.assert_allclose(found, [values[i : i + 3] @ kernel for i in range(4)], atol=1e-12)


@pytest.mark.parametrize("length", [4, 8, 16, 32])
def test_an_axis_is_cut_into_tiles_and_padded_with_zeros(length):
    draw = np.random.default_rng(0)
    kernel, values = draw.standard_normal(3), draw.standard_normal(length)
    places, matrices = winograd.axis_tiles(length)
    tiles = np.einsum("tij,tj->ti", matrices, values[places])
    found = (winograd.KERNEL @ kernel * tiles) @ winograd.OUTPUT.T
    expected = np.convolve(np.pad(values, 1), kernel[::-1], "valid")
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-12)
