"""Training pictures a second: decoded store and batched augmentation, against transforms picture by picture.

    python benchmarks/data.py [HEIGHT WIDTH [RUNS]]

The straightforward side is what ReID code does: a DataLoader with two workers that opens each JPEG file, resizes,
flips, pads and crops, normalises and erases it with PIL and torchvision. A second one is given the decoded PIL
pictures, so that only the transforms count. Ours is `Batches` on two threads. All hand over the same P x K batches.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from measure import alternate, machine
from PIL import Image
from torchvision import transforms

from strongreid.data.augment import IMAGENET_MEAN, IMAGENET_STD
from strongreid.data.batches import Batches

IDENTITIES, EACH, P, K = 200, 16, 16, 4


def smooth_pictures(height: int, width: int) -> np.ndarray:
    """(n, height, width, 3): coarse noise, enlarged, so that JPEG files are as large as those of photographs."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (IDENTITIES * EACH, height // 8, width // 8, 3), dtype=np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(c).resize((width, height), Image.Resampling.BICUBIC)) for c in coarse]
    )


class Pictures(torch.utils.data.Dataset):
    """Pictures one at a time, from files or from memory."""

    def __init__(self, source: list, height: int, width: int) -> None:
        self.source = source
        self.transform = transforms.Compose(
            [
                transforms.Resize([height, width]),
                transforms.RandomHorizontalFlip(0.5),
                transforms.Pad(10),
                transforms.RandomCrop([height, width]),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
                transforms.RandomErasing(0.5, scale=(0.02, 0.4), ratio=(0.3, 1 / 0.3)),
            ]
        )

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        item = self.source[index]
        picture = item if isinstance(item, Image.Image) else Image.open(item).convert("RGB")
        return self.transform(picture), index // EACH


def main() -> None:
    height, width = (int(value) for value in (sys.argv[1:3] if len(sys.argv) > 2 else (256, 128)))
    runs = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    torch.set_num_threads(2)
    pictures = smooth_pictures(height, width)
    batches = Batches(pictures, np.repeat(np.arange(IDENTITIES), EACH), p=P, k=K)
    plan = [batch.tolist() for batch in batches.plan(0)]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.jpg" for number in range(len(pictures))]
        for file, picture in zip(files, pictures, strict=True):
            Image.fromarray(picture).save(file, quality=95)
        size = sum(file.stat().st_size for file in files) / len(files) / 1000
        loaders = {
            name: torch.utils.data.DataLoader(
                Pictures(source, height, width), batch_sampler=plan, num_workers=2, persistent_workers=True
            )
            for name, source in (
                ("two workers, from JPEG files", files),
                ("two workers, transforms alone", [Image.fromarray(picture) for picture in pictures]),
            )
        }
        sides = {"ours, two threads": lambda: sum(len(labels) for _, labels in batches.epoch(0))}
        sides |= {name: lambda it=loader: sum(len(labels) for _, labels in it) for name, loader in loaders.items()}
        for loader in loaders.values():  # workers are started, files cached
            for _ in loader:
                pass
        print(f"{machine()}\n{height} x {width}, {len(pictures)} pictures, JPEG files of {size:.0f} kB")
        measured = alternate(sides, runs)
    count = len(plan) * P * K
    ours = measured["ours, two threads"].median
    for name, side in measured.items():
        print(f"{name:<32} {count / side.median:8,.0f} pictures/s   ours is {side.median / ours:.1f} times faster")


if __name__ == "__main__":
    main()
