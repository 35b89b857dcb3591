"""What a gallery says about itself, in its folder or on its server."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, get_args

from strongreid.errors import InputError
from strongreid.evaluation.calibration import Calibration
from strongreid.evaluation.distances import METRICS, Metric
from strongreid.gallery.entries import Entries, LabelKind, check_label, kinds_of

FORMAT = "strongreid.gallery"
VERSION = 1


def now() -> str:
    """The time as it is written into galleries: ISO 8601, UTC, to the microsecond, so that it sorts."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class Description:
    """Fixed when the gallery is made, apart from the labels, which grow, and the calibration."""

    metric: Metric
    dim: int
    model: str
    """Fingerprint of the model that made the features."""
    labels: Mapping[str, LabelKind] = field(default_factory=dict)
    calibration: Calibration | None = None
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells this gallery from any other, wherever it is moved."""
    created: str = field(default_factory=now)

    @property
    def flags(self) -> list[str]:
        """The labels that are True or False."""
        return [name for name, kind in self.labels.items() if kind == "flag"]

    def with_labels_of(self, entries: Entries) -> Description:
        """The description with the labels of further entries.

        Raises:
            InputError: a label has values of another kind than before.
        """
        found = kinds_of(entries)
        for name, kind in found.items():
            if self.labels.get(name, kind) != kind:
                raise InputError(
                    f"label {name} is {self.labels[name]} in this gallery and {kind} in what is to be added (text, "
                    "whole numbers, or flag for True and False): give it as before, or under another name."
                )
        return replace(self, labels={**self.labels, **found})

    def with_whole_label(self, name: str) -> Description:
        """The description with a label of whole numbers.

        Raises:
            InputError: a label can't have this name, or it is of another kind.
        """
        check_label(name)
        if self.labels.get(name, "whole") != "whole":
            raise InputError(f"label {name} is {self.labels[name]} in this gallery; choose another name.")
        return replace(self, labels={**self.labels, name: "whole"})

    def with_calibration(self, calibration: Calibration | None) -> Description:
        """The description with another calibration.

        Raises:
            InputError: it is of another metric or model.
        """
        if calibration is not None:
            calibration.check_belongs(self.metric, self.model)
        return replace(self, calibration=calibration)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "key": self.key,
            "created": self.created,
            "metric": self.metric,
            "dim": self.dim,
            "model": self.model,
            "labels": dict(self.labels),
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
        }

    @classmethod
    def from_dict(cls, value: Any, where: str) -> Description:
        """Read what `to_dict` gave.

        Raises:
            InputError: it is something else, of another version, or damaged.
        """
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise InputError(f"{where} describes no gallery: it lacks the format {FORMAT!r}; mend the path.")
        if value.get("version") != VERSION:
            raise InputError(
                f"{where} is a gallery of version {value.get('version')}, this program reads {VERSION}: update "
                "strongreid."
            )
        try:
            labels = dict(value["labels"])
            if value["metric"] not in METRICS or not set(labels.values()) <= set(get_args(LabelKind)):
                raise ValueError("unknown metric or kind of label")  # noqa: TRY301
            kept = value["calibration"]
            return cls(
                metric=value["metric"],
                dim=int(value["dim"]),
                model=str(value["model"]),
                labels=labels,
                calibration=None if kept is None else Calibration.from_dict(kept),
                key=str(value["key"]),
                created=str(value["created"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where} is damaged ({error!r}); put a copy of it there.") from error
