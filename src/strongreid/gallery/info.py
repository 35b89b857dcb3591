"""What a gallery tells about itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from strongreid.gallery.description import Description


@dataclass(frozen=True)
class GalleryInfo:
    """Counts and sizes; printed, one line each."""

    location: str
    entries: int
    description: Description
    details: dict[str, Any]
    """`parts`, `parts_bytes`, `index_bytes`, `removed_not_compacted` of a gallery in a folder; `approximate`: None,
    or the graph's `indexed`, and in a folder `effort`, `recall_at_10`, `queries`, `exact_ms`, `approximate_ms`."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"location": self.location, "entries": self.entries} | self.description.to_dict() | self.details

    def json(self) -> str:
        """As JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def table(self) -> str:
        """As text."""
        own, details = self.description, self.details
        labels = ", ".join(f"{name} ({kind})" for name, kind in own.labels.items()) or "none"
        calibration = "none: no probabilities, nobody is unknown"
        if own.calibration is not None:
            calibration = (
                f"unknown beyond a {own.metric} distance of {own.calibration.threshold():.4f}, which "
                f"{100 * own.calibration.fpr:g} % of pairs of different people pass"
            )
        rows = {
            "entries": f"{self.entries:,} of {own.dim} numbers, {own.metric}",
            "model": own.model or "unknown",
            "made": own.created,
            "labels": labels,
            "calibration": calibration,
        }
        if "parts" in details:
            rows["on disk"] = (
                f"{details['parts_bytes'] / 1e6:.1f} MB in {details['parts']} Parquet parts, "
                f"{details['index_bytes'] / 1e6:.1f} MB of index"
            )
            rows["removed"] = f"{details['removed_not_compacted']:,} still on disk until compact"
        rows["approximate"] = _graph(details["approximate"])
        width = max(map(len, rows))
        return "\n".join([self.location, *(f"  {name:<{width}}  {text}" for name, text in rows.items())])

    def __str__(self) -> str:
        return self.table()


def _graph(found: dict[str, Any] | None) -> str:
    if not found:
        return "no index; searches are exact"
    if "recall_at_10" not in found:
        return f"the server's index holds {found['indexed']:,} entries; searches are exact unless asked otherwise"
    return (
        f"recall@10 {found['recall_at_10']:.3f} on {found['queries']} of its entries "
        f"with {found['effort']} candidates, {found['approximate_ms']:.1f} ms a search against "
        f"{found['exact_ms']:.1f} ms exactly; "
        f"the graph holds {found['indexed']:,} entries"
    )
