"""What an exported file says about itself, and how an exported folder is laid out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import strongreid
from strongreid.errors import InputError
from strongreid.model.spec import FeatureName, InputSpec, feature_fingerprint

ExportFormat = Literal["onnx", "openvino"]
ABOUT = "export.json"
"""What an exported folder says about its files: their sums, and how well they agree with torch."""
FILES: dict[ExportFormat, tuple[str, ...]] = {
    "onnx": ("features.onnx",),
    "openvino": ("features.xml", "features.bin"),
}
KEY = "strongreid"
"""Under which the files' own metadata hold the description."""
VERSION = 1


@dataclass(frozen=True, slots=True)
class Description:
    """What goes with a network that takes uint8 pictures (n, height, width, 3) and gives features (n, d) float32."""

    weights: str
    """Fingerprint of the model's weights."""
    spec: InputSpec
    feature: FeatureName
    """Which of the model's two features comes out."""
    dim: int
    made_with: str = strongreid.__version__

    @property
    def fingerprint(self) -> str:
        """Of the features: the same as of those that torch makes."""
        return feature_fingerprint(self.weights, self.spec.feature, self.feature)

    def text(self) -> str:
        """For the metadata of a file."""
        return json.dumps({"version": VERSION, **asdict(self)})

    @classmethod
    def of(cls, file: Path, text: str | None) -> Description:
        """Read what `text` gave.

        Raises:
            InputError: it is missing, damaged, or of another version.
        """
        again = "export the model with strongreid export."
        if not text:
            raise InputError(
                f"{file} was not written by strongreid: it does not say which pictures it takes; {again}"
            )
        try:
            values: dict[str, Any] = json.loads(text)
            version = values.pop("version")
            if version != VERSION:
                raise InputError(f"{file} has version {version}, this program reads {VERSION}; {again}")
            description = cls(**{**values, "spec": InputSpec.of(values["spec"])})
            if description.feature not in get_args(FeatureName) or description.dim < 1:
                raise ValueError(f"no feature {description.feature!r} of {description.dim} numbers")  # noqa: TRY301
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{file} does not say which pictures it takes ({error!r}); {again}") from error
        return description


def exported_format(path: Path) -> ExportFormat | None:
    """Whether `path` is an exported folder or file, going by names, and for what; None if it is neither."""
    for name, files in FILES.items():
        if path.suffix == Path(files[0]).suffix or ((path / ABOUT).is_file() and (path / files[0]).is_file()):
            return name
    return None


def network_file(path: Path) -> Path:
    """The file to run of an exported folder, whose files are compared with their sums; a file is itself.

    Raises:
        InputError: a file is missing or not the one that was written.
    """
    if not path.is_dir():
        return path
    found = exported_format(path)
    if found is None:
        raise InputError(f"{path} is no exported model: it lacks {ABOUT} or the files of a network; export it again.")
    sums = about(path).get("sha256", {})
    for name in FILES[found]:
        if not (path / name).is_file() or sums.get(name) != sha256(path / name):
            raise InputError(f"{path / name} is missing or not the file that {ABOUT} describes: export it again.")
    return path / FILES[found][0]


def about(folder: Path) -> dict[str, Any]:
    """The values of an exported folder's `export.json`.

    Raises:
        InputError: there is none, or it is damaged.
    """
    try:
        values = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise TypeError(f"{type(values).__name__} instead of an object")  # noqa: TRY301
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{folder / ABOUT} is missing or damaged ({error}): export the model again.") from error
    return values


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
