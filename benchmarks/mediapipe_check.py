"""Asks MediaPipe's ImageClassifier for the classes that `predict` gave.

  python -m apps.image_classify --mode=predict --variant=model \
      --inputs=photos --output=predicted.csv
  mediapipe_env/bin/python benchmarks/mediapipe_check.py \
      --model=saved_models/image_classify/1/mobile/model.tflite \
      --predicted=predicted.csv

It needs an environment of its own, with mediapipe and nothing else: see
docs/phones.md. It prints how many of the images get the same class, and ends
with status 1 if any gets another.
"""

import argparse
import csv
import sys
from pathlib import Path

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from PIL import Image


def classes(model: Path, images: list[Path]) -> list[str]:
    """Returns the names of the most probable class of images.

    Args:
        model: A TFLite file of colour images, with its labels inside.
        images: Files that Pillow reads.
    """
    options = vision.ImageClassifierOptions(
        BaseOptions(model_asset_buffer=model.read_bytes()), max_results=1
    )
    names = []
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for path in images:
            pixels = np.asarray(Image.open(path).convert("RGB"))
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=pixels)
            result = classifier.classify(image)
            names.append(result.classifications[0].categories[0].category_name)
    return names


def main() -> None:
    """Compares the classes and prints the images that differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a TFLite file")
    parser.add_argument(
        "--predicted", required=True, help="the --output of --mode=predict"
    )
    arguments = parser.parse_args()
    with Path(arguments.predicted).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = classes(Path(arguments.model), [Path(row["file"]) for row in rows])
    differing = [
        f"{row['file']}: {row['label']}, in MediaPipe {name}"
        for row, name in zip(rows, names, strict=True)
        if name != row["label"]
    ]
    equal = len(rows) - len(differing)
    print("\n".join([*differing, f"{equal} of {len(rows)} classes are equal"]))
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
