"""3x3 convolutions of an ONNX graph with four times fewer multiplications (Lavin and Gray 2016): F(4x4, 3x3).

Runtimes compute convolutions directly, and on CPUs without wide vectors that is as fast as the arithmetic allows. The
same sums written as matrix products take a quarter of the multiplications for the kernels, and some for transforming
input and output, a tile of 6 x 6 places to one of 4 x 4. Pictures have a fixed size, so where tiles lie, and which of
their places are padding, are constants.

The 36 products are nodes of their own, since a runtime arranges a constant matrix for its kernels once, when it reads
the model, but a stack of 36 anew in every run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
MIN_CHANNELS = 64
"""Of input and output; below this the transforms cost more than the products save."""

INPUT: Matrix = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=np.float64,
)
"""B^T: six inputs in a row to six values."""
KERNEL: Matrix = np.array(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=np.float64
) / np.array([24])
"""G: three weights in a row to six values."""
OUTPUT: Matrix = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=np.float64
)
"""A^T: six products to four outputs in a row."""
_ONES = 1
"""The column of A^T that is all ones: what is added to this product is added to every output."""


def use_winograd(model: Any) -> int:
    """Rewrite the eligible convolutions of an `onnxscript.ir.Model`, in place; returns how many."""
    from onnxscript import ir

    graph = model.graph
    eligible = [node for node in graph if _eligible(node)]
    replaced = {value.name: value for node in eligible for value in node.inputs[1:] if value}
    for number, node in enumerate(eligible):
        tape, relu = ir.tape.Tape(), _only_relu(node)
        found = _rewrite(node, tape, f"winograd_{number}", relu=relu is not None)
        for constant in tape.initializers:
            graph.register_initializer(constant)
        old = relu or node
        ir.convenience.replace_nodes_and_values(
            graph, node, [node, relu] if relu else [node], tape.nodes, old.outputs, [found]
        )
    if eligible:
        graph.sort()
    for name, value in replaced.items():
        if not value.uses():
            del graph.initializers[name]
    return len(eligible)


def axis_tiles(length: int) -> tuple[npt.NDArray[np.int64], Matrix]:
    """An axis in t tiles: the six places that each reads (t, 6), and its B^T (t, 6, 6), zero for what is outside."""
    places = np.arange(-1, length - 1, 4)[:, None] + np.arange(6)
    inside = (places >= 0) & (places < length)
    return places.clip(0, length - 1), np.where(inside[:, None, :], INPUT, 0)


def kernel_products(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """G k G^T of kernels (o, c, 3, 3), as 36 matrices (36, c, o)."""
    products: Matrix = np.einsum("ai,ocij,bj->abco", KERNEL, weight.astype(np.float64), KERNEL, optimize=True)
    return products.reshape(36, *products.shape[2:]).astype(np.float32)


def _eligible(node: Any) -> bool:
    """Whether it is a 3x3 convolution, stride 1, padded by 1, of constant weights, many channels and whole tiles."""
    if node.op_type != "Conv" or node.domain or len(node.inputs) < 2:
        return False
    weight = node.inputs[1].const_value
    shape = node.inputs[0].shape
    if weight is None or shape is None or tuple(weight.shape)[2:] != (3, 3):
        return False
    plain = {"strides": [1, 1], "dilations": [1, 1], "pads": None, "group": 1, "auto_pad": "NOTSET"}
    for name, default in plain.items():
        value = node.attributes[name].value if name in node.attributes else default
        if (list(value) if isinstance(value, (list, tuple)) else value) != ([1] * 4 if name == "pads" else default):
            return False
    height, width = shape[2], shape[3]
    whole = isinstance(height, int) and isinstance(width, int) and height % 4 == 0 and width % 4 == 0
    return whole and min(tuple(weight.shape)[:2]) >= MIN_CHANNELS


def _only_relu(node: Any) -> Any:
    """The ReLU that alone reads what `node` gives, if so."""
    value = node.outputs[0]
    users = [user for user, _ in value.uses()]
    alone = len(users) == 1 and users[0].op_type == "Relu" and not users[0].domain and not value.is_graph_output()
    return users[0] if alone else None


def _rewrite(node: Any, tape: Any, name: str, *, relu: bool) -> Any:
    """The nodes, on the tape, that compute what the convolution `node` does, and a ReLU; returns their last value."""
    image, weight = node.inputs[0], node.inputs[1].const_value.numpy()
    bias = node.inputs[2].const_value.numpy() if len(node.inputs) > 2 and node.inputs[2] else np.zeros(len(weight))
    out, channels = weight.shape[:2]
    height, width = image.shape[2], image.shape[3]
    ops, kernels, back = _Ops(tape, name), kernel_products(weight), OUTPUT
    rows = ops.op("Transpose", image, perm=[0, 2, 3, 1])  # channels last, for products over them
    rows = ops.transformed(ops.reshape(rows, [-1, height, width * channels]), height)
    found = []
    for a, row in enumerate(rows):  # (n, height / 4, 1, width * channels)
        products = []
        for b, tiles in enumerate(ops.transformed(ops.reshape(row, [-1, width, channels]), width)):
            product = ops.op("MatMul", tiles, ops.constant(kernels[6 * a + b]))  # (n height / 4, width / 4, 1, out)
            products.append(ops.op("Add", product, ops.constant(bias)) if a == b == _ONES else product)
        columns = ops.op("MatMul", ops.constant(back), ops.op("Concat", *products, axis=2))
        found.append(ops.reshape(columns, [-1, height // 4, 1, width * out]))
    whole = ops.op("MatMul", ops.constant(back), ops.op("Concat", *found, axis=2))
    whole = ops.reshape(whole, [-1, height, width, out])
    return ops.op("Transpose", ops.op("Relu", whole) if relu else whole, perm=[0, 3, 1, 2])


class _Ops:
    """Nodes and constants of one convolution."""

    def __init__(self, tape: Any, name: str) -> None:
        self.tape, self.name, self.count = tape, name, 0

    def op(self, kind: str, *inputs: Any, **attributes: Any) -> Any:
        return self.tape.op(kind, inputs, attributes)

    def constant(self, values: npt.NDArray[Any]) -> Any:
        from onnxscript import ir

        array = values.astype(np.float32) if values.dtype.kind == "f" else values
        self.count += 1
        return self.tape.initializer(ir.tensor(np.ascontiguousarray(array), name=f"{self.name}_{self.count}"))

    def reshape(self, value: Any, shape: list[int]) -> Any:
        return self.op("Reshape", value, self.constant(np.array(shape, dtype=np.int64)))

    def transformed(self, value: Any, length: int) -> list[Any]:
        """The six values of each tile of axis 1: (m, length, k) to six times (m, length / 4, 1, k)."""
        places, matrices = axis_tiles(length)
        tiles = self.op("Gather", value, self.constant(places), axis=1)
        six = [self.op("MatMul", self.constant(matrices), tiles)]
        return list(self.tape.op_multi_out("Split", six, {"axis": 2, "num_outputs": 6}, num_outputs=6))
