"""Features of pictures with what is known about each: the table that evaluation, gallery and export share."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from strongreid.errors import InputError
from strongreid.files import atomic_file

FORMAT = "strongreid.features"
VERSION = "1"
_COLUMNS = ("feature", "identity", "camera", "path")


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """One row per picture. Junk is never in a table; a distractor has identity -1.

    Arrays of other integer or float types are converted; what can't be converted is refused.

    Raises:
        InputError: the features are not a table of finite numbers, identities or cameras are not whole
            numbers, or the lengths differ.
    """

    features: npt.NDArray[np.float32]
    """(n, d), not normalised."""
    identities: npt.NDArray[np.int64]
    """(n,)"""
    cameras: npt.NDArray[np.int64]
    """(n,)"""
    paths: tuple[str, ...]
    """n paths of the pictures, as they were read."""
    model: str = ""
    """Fingerprint of the model that made the features; empty when unknown."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", _float_table(self.features))
        object.__setattr__(self, "identities", _whole_numbers("identities", self.identities))
        object.__setattr__(self, "cameras", _whole_numbers("cameras", self.cameras))
        object.__setattr__(self, "paths", tuple(str(path) for path in self.paths))
        lengths = {
            "features": len(self.features),
            "identities": len(self.identities),
            "cameras": len(self.cameras),
            "paths": len(self.paths),
        }
        if len(set(lengths.values())) != 1:
            got = ", ".join(f"{count} {name}" for name, count in lengths.items())
            raise InputError(f"a feature table needs one of each per picture, got {got}.")

    def __len__(self) -> int:
        return len(self.features)

    @property
    def dim(self) -> int:
        """Numbers per feature, d."""
        return int(self.features.shape[1])

    def select(self, rows: npt.ArrayLike) -> FeatureTable:
        """The table of the given rows: a mask of n booleans, or row numbers in the order wanted.

        Raises:
            InputError: a mask of another length, or a row that the table does not have.
        """
        chosen = np.asarray(rows)
        if chosen.size == 0 and chosen.dtype != np.bool_:
            chosen = chosen.astype(np.int64)
        if chosen.dtype == np.bool_:
            if chosen.shape != (len(self),):
                raise InputError(f"a mask over {len(self)} rows needs shape ({len(self)},), got {chosen.shape}.")
            chosen = np.flatnonzero(chosen)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise InputError(f"rows are a mask or a list of row numbers, got {chosen.dtype} {chosen.shape}.")
        if chosen.size and (chosen.min() < -len(self) or chosen.max() >= len(self)):
            raise InputError(f"the table has rows 0 to {len(self) - 1}, got rows {chosen.min()} to {chosen.max()}.")
        return FeatureTable(
            features=self.features[chosen],
            identities=self.identities[chosen],
            cameras=self.cameras[chosen],
            paths=tuple(self.paths[row] for row in chosen.tolist()),
            model=self.model,
        )

    def save(self, path: str | Path) -> None:
        """Write the table as one Parquet file, atomically, with checksums.

        Columns: `feature` (fixed-size list of d float32), `identity`, `camera`, `path`; the file's metadata
            holds
        the format, its version and the model's fingerprint. Any Parquet reader opens it.

        Raises:
            InputError: the file can't be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            "feature": pa.FixedSizeListArray.from_arrays(pa.array(self.features.reshape(-1)), self.dim),
            "identity": pa.array(self.identities),
            "camera": pa.array(self.cameras),
            "path": pa.array(self.paths, type=pa.string()),
        }
        notes = {"format": FORMAT, "version": VERSION, "model": self.model}
        table = pa.table(columns).replace_schema_metadata(notes)
        with atomic_file(Path(path)) as partial:
            pq.write_table(table, partial, use_dictionary=["path"], write_page_checksum=True)

    @classmethod
    def load(cls, path: str | Path) -> FeatureTable:
        """Read a table that `save` wrote, or the shards of one (`shard_path`) where there is no file of that name.

        Raises:
            InputError: there is no such file, it is damaged, it is not a feature table, or a shard is missing.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not Path(path).is_file():
            return join_tables([cls.load(shard) for shard in _shards(Path(path))])
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                schema = file.schema_arrow
                _check_schema(Path(path), schema)
                table = file.read()
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{path} is damaged or no Parquet file ({error}); extract the features again."
            ) from error
        if any(table.column(name).null_count for name in _COLUMNS):
            raise InputError(f"{path} has rows with missing values; extract the features again.")
        dim = schema.field("feature").type.list_size
        features = table.column("feature").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        try:
            return cls(
                features=features.reshape(-1, dim),
                identities=table.column("identity").to_numpy(),
                cameras=table.column("camera").to_numpy(),
                paths=tuple(table.column("path").to_pylist()),
                model=schema.metadata[b"model"].decode(),
            )
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def _check_schema(path: Path, schema: Any) -> None:
    """Refuse a Parquet file that is not a feature table of a version we read."""
    import pyarrow as pa

    missing = [name for name in _COLUMNS if name not in schema.names]
    if missing:
        raise InputError(f"{path} is no feature table: it lacks {_and(missing)} and has {_and(schema.names)}.")
    notes = schema.metadata or {}
    if notes.get(b"format") != FORMAT.encode() or b"model" not in notes:
        raise InputError(f"{path} is no feature table: its metadata lacks format {FORMAT!r} or the model.")
    if notes.get(b"version") != VERSION.encode():
        version = notes.get(b"version", b"none").decode()
        raise InputError(
            f"{path} is a feature table of version {version}, this program reads {VERSION}; "
            "update strongreid, or extract the features again."
        )
    kind = schema.field("feature").type
    if not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.float32():
        raise InputError(f"{path} is no feature table: column feature is {kind}, not lists of float32.")


def shard_path(path: str | Path, number: int, count: int) -> Path:
    """Where shard `number` (from 0) of `count` of the table `path` is: a.parquet has a.00000-of-00002.parquet."""
    path = Path(path)
    return path.with_name(f"{path.stem}.{number:05d}-of-{count:05d}{path.suffix}")


def _shards(path: Path) -> list[Path]:
    """The shards of a table, all of them, in order."""
    found = sorted(path.parent.glob(f"{glob.escape(path.stem)}.*-of-*{path.suffix}"))
    counts = {match[1] for name in found if (match := re.search(r"\.\d{5}-of-(\d{5})\.", name.name))}
    if not counts:
        raise InputError(f"no feature table at {path}; extract the features first, or mend the path.")
    if len(counts) > 1:
        raise InputError(
            f"{path} has shards of {' and of '.join(str(int(count)) for count in sorted(counts))} processes: delete "
            "those of the older extraction."
        )
    wanted = [shard_path(path, number, int(*counts)) for number in range(int(*counts))]
    missing = [name.name for name in wanted if not name.is_file()]
    if missing:
        raise InputError(f"{path} lacks {len(missing)} of {len(wanted)} shards ({missing[0]}): extract again.")
    return wanted


def join_tables(tables: list[FeatureTable]) -> FeatureTable:
    """One table of several, at least one, in their order.

    Raises:
        InputError: they come from different models.
    """
    models = sorted({table.model for table in tables})
    if len(models) > 1 or len({table.dim for table in tables}) > 1:
        raise InputError(f"the shards come from different models ({_and(models)}): extract again.")
    return FeatureTable(
        features=np.concatenate([table.features for table in tables]),
        identities=np.concatenate([table.identities for table in tables]),
        cameras=np.concatenate([table.cameras for table in tables]),
        paths=tuple(path for table in tables for path in table.paths),
        model=models[0],
    )


def _float_table(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """`values` as a contiguous (n, d) float32 array of finite numbers."""
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiu":
        raise InputError(f"features are numbers of shape (n, d) with d > 0, got {array.dtype} {array.shape}.")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        shown = ", ".join(map(str, bad[:5].tolist())) + (", ..." if bad.size > 5 else "")
        raise InputError(
            f"{bad.size} of {len(array)} features hold NaN or infinity (rows {shown}); "
            "look at those pictures and at the model that made the features."
        )
    return array


def _whole_numbers(name: str, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """`values` as an (n,) int64 array."""
    array = np.asarray(values)
    if array.size == 0 and array.ndim == 1:
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"{name} are whole numbers of shape (n,), got {array.dtype} {array.shape}.")
    return np.ascontiguousarray(array, dtype=np.int64)


def _and(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "nothing"
