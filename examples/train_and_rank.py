"""Generate a small world, train on it, and rank the gallery for one picture."""

import dataclasses
import sys

import strongreid as sr
from strongreid.evaluation import top_matches


def main(folder: str = "example", train_identities: int = 60, epochs: int = 6) -> None:
    """Everything lands in `folder`."""
    settings = sr.WorldSettings(seed=3, train_identities=train_identities, test_identities=20)
    sr.synthesize(f"{folder}/world", settings, progress=True)
    config = sr.PRESETS["tiny"]()
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, root=f"{folder}/world"),
        optim=dataclasses.replace(config.optim, epochs=epochs),
        run=dataclasses.replace(config.run, output=f"{folder}/run"),
    )
    print(sr.train(config).table())
    dataset, extract = sr.read_dataset("market1501", f"{folder}/world"), sr.Extractor(f"{folder}/run/best")
    gallery = extract.table(dataset.gallery)
    rows, distances = top_matches(extract.table(dataset.query[:1]), gallery, 5)
    for row, distance in zip(rows[0], distances[0], strict=True):
        print(f"{distance:.3f}  {gallery.paths[row]}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
