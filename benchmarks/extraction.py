"""Pictures a second from JPEG files to features on a CPU: the straightforward way in torch, and every backend.

    python benchmarks/extraction.py resnet50 256 128 --pictures 64 --rounds 3

The straightforward side is eager float32 torch, contiguous, `model.eval()` under `inference_mode`, with a picture's
own PIL and torchvision transforms in a DataLoader, batch 64; its better number of workers counts. The files are
written first: noise on patches of colour, JPEG of quality 90, half as large again as the network's input. Weights are
random; the statistics of batch normalisation are those of such pictures. Sides alternate; medians. The last columns
are milliseconds of one core for each picture, in the program and in the system, which hands out memory: the
straightforward side asks for each batch's anew, which costs more on some machines than on others.
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import machine
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from strongreid.data.images import IMAGENET_MEAN, IMAGENET_STD
from strongreid.data.records import ImageRecord
from strongreid.export.agreement import sample_pictures
from strongreid.extraction import Extractor
from strongreid.model.network import ReIDModel
from strongreid.model.weights import InputSpec, load_model, save_model

BATCH = 64


class Pictures(Dataset):
    def __init__(self, paths: list[Path], height: int, width: int) -> None:
        self.paths = paths
        self.transform = transforms.Compose(
            [
                transforms.Resize((height, width)),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def straightforward(model: nn.Module, paths: list[Path], height: int, width: int, workers: int) -> np.ndarray:
    with torch.inference_mode():
        batches = DataLoader(Pictures(paths, height, width), batch_size=BATCH, num_workers=workers)
        return torch.cat([model(batch).feature for batch in batches]).numpy()


def write_pictures(folder: Path, count: int, height: int, width: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number:04d}.jpg" for number in range(count)]
    for path, picture in zip(paths, sample_pictures(count, height * 3 // 2, width * 3 // 2), strict=True):
        Image.fromarray(picture).save(path, quality=90)
    return paths


@torch.no_grad()
def settle(model: ReIDModel, height: int, width: int) -> None:
    """Give batch normalisation the statistics of such pictures, as training would."""
    pictures = torch.from_numpy(sample_pictures(16, height, width)).permute(0, 3, 1, 2) / 255
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            module.momentum = None  # the plain mean
    model.train()((pictures - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None])
    model.eval()


def cosines(a: np.ndarray, b: np.ndarray) -> float:
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a.astype(np.float64), b.astype(np.float64)))
    return float((a * b).sum(axis=1).min())


def processor_time() -> np.ndarray:
    """Seconds of all cores until now, in the program and in the system, with those of finished workers."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return np.array([sum(each.ru_utime for each in used), sum(each.ru_stime for each in used)])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("backbone")
    parser.add_argument("height", type=int)
    parser.add_argument("width", type=int)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backends", nargs="+", default=["torch", "onnx", "openvino"])
    parser.add_argument("--batch", type=int, default=16, help="of the backends, at most")
    parser.add_argument("--model", help="a folder to keep the model and its exports in")
    asked = parser.parse_args()
    size = asked.height, asked.width
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(asked.model or Path(scratch) / "model")
        if not (folder / "model.json").is_file():
            torch.manual_seed(0)
            model = ReIDModel(asked.backbone, pretrained=False, image_size=size)
            settle(model, *size)
            save_model(folder, model, InputSpec(*size))
        paths = write_pictures(Path(scratch) / "pictures", asked.pictures, *size)
        records = [ImageRecord(path, 1, 1) for path in paths]
        plain = load_model(folder).model
        sides: dict[str, Callable[[], np.ndarray]] = {
            f"straightforward, {workers} workers": lambda workers=workers: straightforward(
                plain, paths, *size, workers
            )
            for workers in (0, 2)
        }
        for backend in asked.backends:
            began = time.perf_counter()
            extract = Extractor(
                folder, device="cpu" if backend == "torch" else "auto", backend=backend, batch=asked.batch
            )
            print(f"{backend}: ready after {time.perf_counter() - began:.1f} s; {extract.why}", file=sys.stderr)
            sides[backend] = lambda extract=extract: extract.table(records).features
        measure(sides, asked)


def measure(sides: dict[str, Callable[[], np.ndarray]], asked: argparse.Namespace) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    cores: dict[str, list[np.ndarray]] = {name: [] for name in sides}
    features: dict[str, np.ndarray] = {}
    for number in range(asked.rounds + 1):
        for name, work in sides.items():
            began, busy = time.perf_counter(), processor_time()
            features[name] = work()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - began)
                cores[name].append(processor_time() - busy)
    straight = [name for name in sides if name.startswith("straight")]
    best = min(straight, key=lambda name: statistics.median(seconds[name]))
    print(machine())
    print(f"{asked.backbone}, {asked.height} x {asked.width}, {asked.pictures} JPEG files, {asked.rounds} rounds")
    print(f"{'':<28} pictures/s  (slowest to fastest)  ratio  least cosine  with the mean taken off  program  system")
    mean = features[best].mean(axis=0)
    for name, taken in seconds.items():
        rates = [asked.pictures / each for each in sorted(taken, reverse=True)]
        ratio = statistics.median(seconds[best]) / statistics.median(taken)
        program, system = np.median(cores[name], axis=0) / asked.pictures * 1000
        print(
            f"{name:<28} {statistics.median(rates):10.1f}  ({rates[0]:.1f} to {rates[-1]:.1f})  {ratio:8.2f}  "
            f"{cosines(features[name], features[best]):.7f}  "
            f"{cosines(features[name] - mean, features[best] - mean):.7f}  {program:18.1f}  {system:6.1f}"
        )


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork")  # DataLoader's workers
    main()
