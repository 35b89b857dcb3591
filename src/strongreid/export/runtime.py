"""Running exported networks, without torch: ONNX Runtime or OpenVINO, imported when first used."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from strongreid.errors import InputError
from strongreid.export.description import KEY, Description, ExportFormat, exported_format, network_file

Pictures = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]
Run = Callable[[Pictures], Features]
BLOCK = 2**18
"""Pixels computed in one go: 8 pictures of 256 x 128. What a network makes of more drops out of a CPU's caches, and
with fewer its weights are read too often."""
MODULES: dict[ExportFormat, str] = {"onnx": "onnxruntime", "openvino": "openvino"}


class ExportedNetwork:
    """A network in a file, with what it says about itself."""

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        """Read it.

        Args:
            path: a folder that `export_model` wrote, or its `.onnx` or `.xml` file.
            threads: of the CPU; None for OMP_NUM_THREADS, or all that this process may use.

        Raises:
            InputError: there is no such file, or it is damaged, or not of ours.
            ModuleNotFoundError: its runtime is not installed.
        """
        self.path = Path(path)
        found = exported_format(self.path)
        if found is None:
            raise InputError(f"{path} is no exported model: give a folder that strongreid export wrote, or its file.")
        file = network_file(self.path)
        if not file.is_file():
            raise InputError(f"there is no file {file}: mend the path, or export the model again.")
        self.format: ExportFormat = found
        self._file, self._threads = file, threads or default_threads()
        # OpenVINO gets one caller with all threads: with a stream for each of several it once stood still for good.
        self._callers = self._threads if found == "onnx" else 1
        self._run, text = _OPEN[found](file, self._threads // self._callers)
        self.description = Description.of(file, text)
        self.dim, self.feature = self.description.dim, self.description.feature

    def features(
        self, pictures: Pictures, *, batch: int = 64, flip: bool = False, bar: tqdm[Any] | None = None
    ) -> Features:
        """Features (n, d) of pictures (n, height, width, 3); with `flip`, the mean with the mirrored one's.

        With ONNX Runtime each thread computes batches of its own, at most `batch` pictures each, so that none waits
        for another at the end of every step of a network. Fewer pictures than threads are computed by all together.
        """
        features = np.empty((len(pictures), self.dim), dtype=np.float32)
        if not len(pictures):
            return features
        few = len(pictures) < self._callers
        run = self._run_together if few else self._run

        def compute(part: slice) -> int:
            block = np.ascontiguousarray(pictures[part])
            found = run(block)
            if flip:
                found = np.stack([found, run(np.ascontiguousarray(block[:, :, ::-1]))]).mean(axis=0)
            features[part] = found
            return len(block)

        workers = 1 if few else self._callers
        parts = parts_of(pictures.shape, batch, workers)
        with ThreadPoolExecutor(workers) as pool:
            for done in pool.map(compute, parts) if workers > 1 else map(compute, parts):
                if bar is not None:
                    bar.update(done)
        return features

    @cached_property
    def _run_together(self) -> Run:
        """All threads on one batch; the file is read a second time, when that is first wanted."""
        return _OPEN[self.format](self._file, self._threads)[0]


def parts_of(shape: tuple[int, ...], batch: int, workers: int) -> list[slice]:
    """Slices of n pictures (n, height, width, 3), alike in length: at most `batch` and `BLOCK`, for all workers.

    There are a multiple of `workers`, or n if that is less.
    """
    count = shape[0]
    most = max(1, min(batch, BLOCK // (shape[1] * shape[2])))
    parts = min(count, math.ceil(count / (most * workers)) * workers)
    edges = [count * number // parts for number in range(parts + 1)]
    return [slice(*edge) for edge in itertools.pairwise(edges)]


def installed(runtime: ExportFormat) -> bool:
    """Whether the module that runs it is installed; it is not imported."""
    try:
        return find_spec(MODULES[runtime]) is not None
    except ValueError:  # the import was blocked
        return False


def library(runtime: ExportFormat) -> ModuleType:
    """The module, or an error that names what to install."""
    try:
        if runtime == "onnx":
            import onnxruntime as module
        else:
            import openvino as module
    except ModuleNotFoundError as error:
        name = MODULES[runtime]
        raise ModuleNotFoundError(
            f"this exported model needs {name}: pip install 'strongreid[{runtime}]'", name=name
        ) from error
    found: ModuleType = module
    return found


def default_threads() -> int:
    """OMP_NUM_THREADS, as torch has it, or the cores that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open_onnx(file: Path, threads: int) -> tuple[Run, str | None]:
    """A session whose calls take `threads` threads, the caller's own included; any number of calls at a time."""
    module = library("onnx")
    options = module.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only; the rest would go to the user's screen
    try:
        session = module.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class
        raise _unreadable(file, error) from error
    name = session.get_inputs()[0].name

    def run(pictures: Pictures) -> Features:
        found: Features = session.run(None, {name: pictures})[0]
        return found

    return run, session.get_modelmeta().custom_metadata_map.get(KEY)


def _open_openvino(file: Path, threads: int) -> tuple[Run, str | None]:
    """A model that computes one call at a time, with `threads` threads."""
    module = library("openvino")
    core = module.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",  # where a CPU has bfloat16, it would be used unasked
    }
    try:
        model = core.read_model(file)
        compiled = core.compile_model(model, "CPU", settings)
    except RuntimeError as error:
        raise _unreadable(file, error) from error

    lock = threading.Lock()  # what computes can take one caller at a time

    def run(pictures: Pictures) -> Features:
        with lock:
            found: Features = np.array(compiled(pictures)[0])  # its memory is used again
        return found

    text = model.get_rt_info(KEY).value if model.has_rt_info(KEY) else None
    return run, text


def _unreadable(file: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"{file} can't be read as a network ({reason}): export the model again.")


_OPEN: dict[ExportFormat, Callable[[Path, int], tuple[Run, str | None]]] = {
    "onnx": _open_onnx,
    "openvino": _open_openvino,
}
