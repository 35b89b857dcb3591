"""3x3 convolutions of an ONNX graph with four times fewer multiplications (Lavin and Gray 2016): F(4x4, 3x3).

Runtimes compute convolutions directly, and on CPUs without wide vectors that is as fast as the arithmetic allows. The
same sums written as matrix products take a quarter of the multiplications for the kernels, and some for transforming
input and output: it pays where channels are many and maps small, which is where a ReID network with last stride 1
spends most of its time. Pictures have a fixed size, so each map's transform, its zero padding included, is one
constant matrix for each axis, or one for both where the map is small.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
MIN_CHANNELS = 128
"""Of input and output; below this the transforms cost more than the products save."""
MAX_POSITIONS = 512
"""Of the map; the transforms grow with its sides."""
_ONE_MATRIX = 32  # positions up to which one matrix for both axes is quicker than one for each

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


def use_winograd(model: Any) -> int:
    """Rewrite the eligible convolutions of an `onnxscript.ir.Model`, in place; returns how many."""
    from onnxscript import ir

    graph = model.graph
    eligible = [node for node in graph if _eligible(node)]
    replaced = {value.name: value for node in eligible for value in node.inputs[1:] if value}
    for number, node in enumerate(eligible):
        tape = ir.tape.Tape()
        found = _rewrite(node, tape, f"winograd_{number}")
        for constant in tape.initializers:
            graph.register_initializer(constant)
        ir.convenience.replace_nodes_and_values(graph, node, [node], tape.nodes, node.outputs, [found])
    if eligible:
        graph.sort()
    for name, value in replaced.items():
        if not value.uses():
            del graph.initializers[name]
    return len(eligible)


def input_matrix(length: int) -> Matrix:
    """(6 t, length) for an axis of t tiles of 4: row r t + j is value r of tile j; what is outside is zero."""
    tiles = length // 4
    matrix = np.zeros((6, tiles, length))
    for tile, row, tap in itertools.product(range(tiles), range(6), range(6)):
        place = 4 * tile + tap - 1
        if 0 <= place < length:
            matrix[row, tile, place] = INPUT[row, tap]
    return matrix.reshape(6 * tiles, length)


def output_matrix(length: int) -> Matrix:
    """(length, 6 t): back from the products of an axis, in the order of `input_matrix`."""
    tiles = length // 4
    matrix = np.zeros((tiles, 4, 6, tiles))
    for tile in range(tiles):
        matrix[tile, :, :, tile] = OUTPUT
    return matrix.reshape(length, 6 * tiles)


def kernel_products(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """G k G^T of kernels (o, c, 3, 3), as 36 matrices (36, c, o)."""
    products: Matrix = np.einsum("ai,ocij,bj->abco", KERNEL, weight.astype(np.float64), KERNEL, optimize=True)
    return products.reshape(36, *products.shape[2:]).astype(np.float32)


def _eligible(node: Any) -> bool:
    """Whether it is a 3x3 convolution, stride 1, padded by 1, of constant weights, many channels and a small map."""
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
    if not (isinstance(height, int) and isinstance(width, int)):
        return False
    small = height % 4 == 0 and width % 4 == 0 and height * width <= MAX_POSITIONS
    return small and min(tuple(weight.shape)[:2]) >= MIN_CHANNELS


def _rewrite(node: Any, tape: Any, name: str) -> Any:
    """The nodes, on the tape, that compute what the convolution `node` does; returns their last value."""
    image, weight = node.inputs[0], node.inputs[1].const_value.numpy()
    bias = node.inputs[2].const_value.numpy() if len(node.inputs) > 2 and node.inputs[2] else np.zeros(len(weight))
    out, channels = weight.shape[:2]
    height, width = image.shape[2], image.shape[3]
    down, across = height // 4, width // 4
    ops = _Ops(tape, name)
    rows = ops.op("Transpose", image, perm=[0, 2, 3, 1])  # channels last, for products over them
    if height * width <= _ONE_MATRIX:
        tiles = ops.tiles_by_one_matrix(rows, (height, width), channels)
    else:
        tiles = ops.tiles_by_two(rows, (height, width), channels)
    products = ops.op("MatMul", tiles, ops.constant(kernel_products(weight)))
    products = ops.reshape(products, [6, 6, -1, down, across, out])
    products = ops.op("Transpose", products, perm=[2, 0, 3, 1, 4, 5])
    if height * width <= _ONE_MATRIX:
        back = np.einsum("pa,qb->pqab", output_matrix(height), output_matrix(width))
        products = ops.reshape(products, [-1, 36 * down * across, out])
        found = ops.op("MatMul", ops.constant(back.reshape(height * width, -1)), products)
    else:
        products = ops.reshape(products, [-1, 6 * down, 6 * across, out])
        products = ops.op("MatMul", ops.constant(output_matrix(width)), products)
        products = ops.reshape(products, [-1, 6 * down, width * out])
        found = ops.op("MatMul", ops.constant(output_matrix(height)), products)
    found = ops.op("Add", ops.reshape(found, [-1, height, width, out]), ops.constant(bias))
    return ops.op("Transpose", found, perm=[0, 3, 1, 2])


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

    def tiles_by_one_matrix(self, rows: Any, size: tuple[int, int], channels: int) -> Any:
        """(n, h, w, c) to (36, n tiles, c)."""
        height, width = size
        both = np.einsum("ap,bq->abpq", input_matrix(height), input_matrix(width)).reshape(-1, height * width)
        tiles = self.op("MatMul", self.constant(both), self.reshape(rows, [-1, height * width, channels]))
        return self._to_front(tiles, size, channels)

    def tiles_by_two(self, rows: Any, size: tuple[int, int], channels: int) -> Any:
        """The same, one axis after the other."""
        height, width = size
        tiles = self.op(
            "MatMul", self.constant(input_matrix(height)), self.reshape(rows, [-1, height, width * channels])
        )
        tiles = self.reshape(tiles, [-1, 6 * height // 4, width, channels])
        return self._to_front(self.op("MatMul", self.constant(input_matrix(width)), tiles), size, channels)

    def _to_front(self, tiles: Any, size: tuple[int, int], channels: int) -> Any:
        split = self.reshape(tiles, [-1, 6, size[0] // 4, 6, size[1] // 4, channels])
        return self.reshape(self.op("Transpose", split, perm=[1, 3, 0, 2, 4, 5]), [36, -1, channels])
