"""From pictures to features: what every backend shares."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from strongreid.data.ahead import ahead
from strongreid.data.images import DecodedStore
from strongreid.data.records import ImageRecord
from strongreid.errors import InputError
from strongreid.export.description import exported_format
from strongreid.export.runtime import ExportedNetwork
from strongreid.extraction.backends import BackendName, Network, choose, exported
from strongreid.extraction.pictures import Picture, as_list, cut, prepare
from strongreid.features import FeatureTable, join_tables
from strongreid.model.spec import FeatureName, described, feature_fingerprint

if TYPE_CHECKING:
    from strongreid.model.hardware import PrecisionName
    from strongreid.model.weights import LoadedModel

CHUNK = 1024
"""Pictures decoded together, while the network works on those before: 100 MB at 256 x 128."""
_MOST = 4 * CHUNK  # pictures given at once that are decoded at once


class Extractor:
    """A model ready for pictures: `extract(pictures)`, `extract.table(records)`, `extract.boxes(frame, boxes)`.

    The model is a folder that training wrote, or one that `strongreid export` wrote, which needs no torch.
    """

    def __init__(
        self,
        model: str | Path | LoadedModel,
        *,
        device: str = "auto",
        precision: PrecisionName = "float32",
        feature: FeatureName | None = None,
        batch: int = 64,
        flip: bool = False,
        backend: BackendName = "auto",
        say: Callable[[str], None] | None = None,
    ) -> None:
        """Take a model folder (`runs/x/best`), an exported folder or file, or what `load_model` returned.

        Args:
            model: which one.
            device: as in `place`; exported models run on the CPU.
            precision: float32 by default; bf16 (torch only) moves mAP by about 0.001.
            feature: "f_i" or "f_t"; None takes what the model was evaluated with. The other one's fingerprint ends in
                its name, since the two can't be compared.
            batch: pictures per forward pass, at most: exported networks take fewer at a time (docs/export.md).
            flip: average each feature with that of the mirrored picture, at twice the time; the paper does not.
                Such features only compare with their like: the fingerprint ends in "+flip".
            backend: "torch", "onnx", "openvino", or "auto": on a CPU the first of onnx and openvino that is
                installed, once there is an export or enough pictures to make one (beside the model, in
                `exported/`), else torch; the first call settles it. Features of all are interchangeable: cosine
                at least 0.9999, checked when exporting.
            say: gets one line about what was chosen and why; `why` has it too.

        Raises:
            InputError: no such model or device, batch below 1, or a backend that this model does not have.
            ModuleNotFoundError: the backend asked for is not installed.
        """
        if batch < 1:
            raise InputError(f"batch is {batch}: it must be at least 1.")
        self.batch, self.flip, self.device, self.precision = batch, flip, device, precision
        self._say = say or (lambda _: None)
        self._network: Network | None = None
        self.why = ""
        """What computes the features, and why; empty until that is settled."""
        self._model = Path(model) if isinstance(model, (str, Path)) else model
        if not isinstance(self._model, Path):
            self.spec, self.weights = self._model.spec, self._model.fingerprint
        elif exported_format(self._model):
            network = self._exported(self._model, backend, feature)
            self.spec, self.weights, feature = network.description.spec, network.description.weights, network.feature
        else:
            self.spec, self.weights = described(self._model)
        self.feature: FeatureName = feature or self.spec.feature
        self.fingerprint = feature_fingerprint(self.weights, self.spec.feature, self.feature, flip=flip)
        if self._network is None:
            self._begin(backend)

    def __call__(self, pictures: Picture | Sequence[Picture]) -> npt.NDArray[np.float32]:
        """Features (n, d) of one picture or several: paths, encoded bytes, PIL pictures, (h, w, 3) uint8 RGB arrays.

        Raises:
            InputError: a picture can't be read, or an array is not (h, w, 3) uint8.
        """
        several = as_list(pictures)
        parts = [
            self.decoded(prepare(several[start : start + _MOST], self.spec.height, self.spec.width))
            for start in range(0, len(several), _MOST)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.network(0).dim), dtype=np.float32)

    def boxes(self, frame: Picture, boxes: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Features (n, d) of the parts of a frame in boxes (n, 4): left, top, width, height in pixels, clipped to it.

        Raises:
            InputError: the frame can't be read, or a box has no pixel in it; as `pictures.cut`.
        """
        return self(cut(frame, boxes))

    def table(
        self, records: Sequence[ImageRecord], *, skip_unreadable: bool = False, progress: bool = False
    ) -> FeatureTable:
        """Features of the records' pictures, in their order, decoded in chunks so that memory stays bounded.

        Raises:
            InputError: no records, or unreadable pictures and not `skip_unreadable`; they are named.
        """
        if not records:
            raise InputError("there are no pictures to extract features from.")
        chunks = [records[start : start + CHUNK] for start in range(0, len(records), CHUNK)]
        self.network(len(records))  # what it says comes before the bar
        with progress_bar(len(records), shown=progress) as bar:
            parts = list(self.tables(chunks, len(records), skip_unreadable=skip_unreadable, bar=bar))
        return joined([part for part in parts if part is not None], records)

    def tables(
        self,
        chunks: Iterable[Sequence[ImageRecord]],
        count: int,
        *,
        skip_unreadable: bool = False,
        bar: tqdm[Any] | None = None,
    ) -> Iterator[FeatureTable | None]:
        """A table of each chunk of records, or None where no picture can be read; the next is decoded meanwhile.

        Raises:
            InputError: as `table`.
        """
        network = self.network(count)
        stores = (
            DecodedStore.build(chunk, self.spec.height, self.spec.width, None, skip_unreadable=skip_unreadable)
            for chunk in chunks
        )
        for store in ahead(stores, depth=1):
            if bar is not None:
                bar.update(len(store.skipped))
            if not store.records:
                yield None
                continue
            features = network.features(store.pictures, batch=self.batch, flip=self.flip, bar=bar)
            yield feature_table(features, store.records, self.fingerprint)

    def decoded(self, pictures: npt.NDArray[np.uint8], bar: tqdm[Any] | None = None) -> npt.NDArray[np.float32]:
        """Features (n, d) of pictures (n, h, w, 3) that already have the model's size."""
        network = self.network(len(pictures))
        return network.features(pictures, batch=self.batch, flip=self.flip, bar=bar)

    def network(self, count: int) -> Network:
        """What computes the features; with "auto", chosen now, going by how many pictures there are.

        Raises:
            InputError: the model can't be read.
        """
        if self._network is None:
            self._network, why = choose(
                cast("Path", self._model),
                self.spec,
                self.weights,
                self.feature,
                count,
                device=self.device,
                precision=self.precision,
            )
            self._settled(why)
        return self._network

    def _begin(self, backend: BackendName) -> None:
        """Open what was asked for; with "auto" that waits for the pictures."""
        on_disk = isinstance(self._model, Path)
        if backend == "torch" or (backend == "auto" and not on_disk):
            from strongreid.extraction.torch_network import torch_network

            network = torch_network(self._model, self.feature, self.device, self.precision)
            self._network = network
            self._settled(network.why)
        elif backend != "auto":
            if not isinstance(self._model, Path):
                raise InputError(f"backend {backend!r} needs a model folder, got a loaded model: give its folder.")
            self._check_cpu(backend)
            self._network, agreement = exported(self._model, self.weights, self.feature, backend)
            self._settled(f"{backend}, as asked" + (f": exported; {agreement.text()}" if agreement else ""))

    def _exported(self, path: Path, backend: BackendName, feature: FeatureName | None) -> ExportedNetwork:
        """Open an exported model, and refuse what it can't do."""
        self._check_cpu("an exported model")
        found = exported_format(path)
        if backend not in ("auto", found):
            raise InputError(
                f"{path} runs by {found}, not by {backend}: give the model folder that it was made from."
            )
        network = ExportedNetwork(path)
        if feature not in (None, network.feature):
            raise InputError(f"{path} gives {network.feature}, not {feature}: export the model with that feature.")
        self._network = network
        self._settled(f"{found}: {path}")
        return network

    def _check_cpu(self, what: str) -> None:
        if self.device not in ("auto", "cpu") or self.precision not in ("auto", "float32"):
            raise InputError(
                f"{what} runs on the CPU in float32, got device {self.device!r} and precision {self.precision!r}: "
                "leave them out, or use torch."
            )

    def _settled(self, why: str) -> None:
        self.why = why
        self._say(why)


def progress_bar(count: int, *, shown: bool) -> tqdm[Any]:
    """Over pictures."""
    return tqdm(total=count, desc="extract", unit="picture", file=sys.stderr, disable=not shown)


def joined(parts: list[FeatureTable], records: Sequence[ImageRecord]) -> FeatureTable:
    """One table of the chunks' tables.

    Raises:
        InputError: there are none: no picture could be read.
    """
    if not parts:
        raise InputError(f"none of the {len(records)} pictures can be read, the first being {records[0].path}.")
    return join_tables(parts)


def feature_table(
    features: npt.NDArray[np.float32], records: Sequence[ImageRecord], fingerprint: str = ""
) -> FeatureTable:
    """The features (n, d) with what their n records say."""
    return FeatureTable(
        features=features,
        identities=np.array([record.identity for record in records], dtype=np.int64),
        cameras=np.array([record.camera for record in records], dtype=np.int64),
        paths=tuple(str(record.path) for record in records),
        model=fingerprint,
    )
