"""Entries as Parquet: every part is also a feature table, which `FeatureTable.load` reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from strongreid.errors import InputError
from strongreid.evaluation.distances import Int64
from strongreid.features import FORMAT, VERSION
from strongreid.files import atomic_file
from strongreid.gallery.entries import RESERVED, Entries, LabelKind, kinds_of

_ROWS = 16_384
"""Rows of a row group, and so of what is in memory at a time: 32 MB at 512 numbers each."""


class PartWriter:
    """Writes entries into one Parquet file, piece by piece, all with the same labels."""

    def __init__(self, path: Path, model: str, labels: Mapping[str, LabelKind]) -> None:
        self.path, self.model, self.labels = path, model, labels
        self._writer: Any = None

    def write(self, entries: Entries) -> None:
        """Append rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table(_columns(entries, self.labels)).replace_schema_metadata(
            {"format": FORMAT, "version": VERSION, "model": self.model}
        )
        if self._writer is None:
            # Features don't compress, and plain bytes can be looked for once they should be gone.
            self._writer = pq.ParquetWriter(
                self.path, table.schema, compression="none", use_dictionary=False, write_page_checksum=True
            )
        self._writer.write_table(table, row_group_size=_ROWS)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()


def write_part(path: Path, entries: Entries, model: str) -> None:
    """Write one part, atomically and durably.

    Raises:
        InputError: the file can't be written.
    """
    with atomic_file(path) as partial:
        writer = PartWriter(partial, model, kinds_of(entries))
        writer.write(entries)
        writer.close()


def read_part(path: Path) -> Iterator[Entries]:
    """The entries of a part, a row group at a time.

    Raises:
        InputError: the part is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for number in range(file.num_row_groups):
                yield _entries(file.read_row_group(number))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputError(f"{path} is damaged ({error}); put a copy of it there, or enrol anew.") from error


def part_ids(path: Path) -> Int64:
    """The ids in a part, of entries or of removals.

    Raises:
        InputError: the part is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            ids: Int64 = file.read(columns=["id"]).column("id").to_numpy()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputError(f"{path} is damaged ({error}); put a copy of it there, or enrol anew.") from error
    return ids


def write_removal(path: Path, ids: Int64, note: str) -> None:
    """Write which entries are gone, atomically and durably; `note` is the audit line.

    Raises:
        InputError: the file can't be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"id": pa.array(ids)}).replace_schema_metadata({"audit": note})
    with atomic_file(path) as partial:
        pq.write_table(table, partial, write_page_checksum=True)


def removal_note(path: Path) -> str:
    """The audit line of a removal."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return str(file.schema_arrow.metadata[b"audit"].decode())


def _columns(entries: Entries, labels: Mapping[str, LabelKind]) -> dict[str, Any]:
    import pyarrow as pa

    dim = entries.features.shape[1]
    columns = {
        "id": pa.array(entries.ids),
        "feature": pa.FixedSizeListArray.from_arrays(pa.array(entries.features.reshape(-1)), dim),
        "identity": pa.array(entries.identities),
        "camera": pa.array(entries.cameras),
        "path": pa.array(entries.paths, type=pa.string()),
        "time": pa.array(entries.times, from_pandas=True),  # NaN becomes null
        "until": pa.array(
            np.full(len(entries), np.nan) if entries.until is None else entries.until, from_pandas=True
        ),
        "track": pa.array(entries.tracks, type=pa.string()),
    }
    types = {"text": pa.string(), "whole": pa.int64(), "flag": pa.bool_()}
    for name, kind in labels.items():
        columns[name] = pa.array(entries.labels.get(name, (None,) * len(entries)), type=types[kind])
    return columns


def _entries(table: Any) -> Entries:
    dim = table.schema.field("feature").type.list_size
    features = table.column("feature").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Entries(
        ids=table.column("id").to_numpy(),
        features=features.reshape(-1, dim),
        identities=table.column("identity").to_numpy(),
        cameras=table.column("camera").to_numpy(),
        paths=tuple(table.column("path").to_pylist()),
        times=table.column("time").to_numpy().astype(np.float64, copy=False),
        tracks=tuple(table.column("track").to_pylist()),
        until=table.column("until").to_numpy().astype(np.float64, copy=False)
        if "until" in table.column_names
        else None,
        labels={name: tuple(table.column(name).to_pylist()) for name in table.column_names if name not in RESERVED},
    )
