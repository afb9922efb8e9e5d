"""Explanations: which pixels moved the model to the class that it gave.

Integrated gradients give each pixel its part of the score; Grad-CAM (Selvaraju
et al., 2017) shows, coarsely, where the last feature maps speak for the class.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common import whole_file
from common.console import track
from common.data import folders, image_checks
from common.explanation import gradients, overlays, page
from common.explanation.gradients import Attribution
from common.options import InputError, quote
from common.release import evaluation, networks

from . import predict
from .config import APP, Config

GREYS = {"black": 0.0, "grey": 0.5, "white": 1.0}
NOTES = (
    page.OF_THE_FLOAT_MODEL,
    page.COLOURS,
    "The score is the logit of the class that was predicted, less the mean "
    "logit of the other classes. Integrated gradients: the parts of all pixels "
    "add up to the change of the score from a plain image (--baseline) to the "
    "image; the completeness error is what they miss. Grad-CAM shows where the "
    "last feature maps speak for the class; its values are no parts of the "
    "score.",
)


class Explainer:
    """Explains the classes that a network gives."""

    def __init__(self, network: keras.Model, baseline: str = "black") -> None:
        """Prepares the explanations.

        Args:
            network: The release's network, from images to `probabilities`.
            baseline: A key of `GREYS`.
        """
        logits = gradients.logits(network)
        scores = keras.Model(network.input, logits)
        self._integrated = gradients.IntegratedGradients(
            lambda images, label_id: gradients.margin(
                scores(images, training=False), label_id
            )
        )
        self._baseline = GREYS[baseline]
        maps = _last_maps(network)
        self._maps = keras.Model(network.input, [maps, logits])

    def integrated_gradients(
        self, image: np.ndarray, label_id: int
    ) -> Attribution:
        """Returns the part of each value of an image in a class's score.

        Args:
            image: `(height, width, channels) float32` in [0, 1].
            label_id: The class.
        """
        baseline = np.full_like(image, self._baseline)
        return self._integrated(image, baseline, tf.constant(label_id))

    def grad_cam(self, image: np.ndarray, label_id: int) -> np.ndarray:
        """Returns where feature maps speak for a class, `(rows, columns)`.

        Args:
            image: See `integrated_gradients`.
            label_id: The class.
        """
        images = tf.constant(image[None])
        with tf.GradientTape() as tape:
            tape.watch(images)
            maps, logits = self._maps(images, training=False)
            score = gradients.margin(logits, tf.constant(label_id))
        slopes = tape.gradient(score, maps)
        weights = tf.reduce_mean(slopes, axis=(1, 2), keepdims=True)
        return tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1))[0].numpy()


def _last_maps(network: keras.Model) -> keras.KerasTensor:
    """Returns the last output that is feature maps, of more than one place."""
    return next(
        layer.output
        for layer in reversed(network.layers)
        if len(layer.output.shape) == 4 and max(layer.output.shape[1:3]) > 1
    )


def run(config: Config) -> None:
    """Explains the class of each file that `--inputs` names."""
    page.check(config)
    paths = folders.inputs(config.inputs, image_checks.is_image, predict.KINDS)
    use = evaluation.use(config, APP)
    classifier = predict.Classifier(
        use.served, background=use.config.background
    )
    network = networks.load(use.served.release)
    explainer = Explainer(network, config.baseline)
    folder = folders.make(config.overlays, "overlays")
    examples = predict.decodable(
        classifier, track(paths, "explaining", len(paths)), use.config
    )
    first = next(examples, None)
    if first is None:
        raise InputError(
            f"--inputs has no image that can be decoded: {quote(config.inputs)}"
        )
    page.show(
        config,
        "Why the images got their classes",
        NOTES,
        _explained(
            classifier, explainer, itertools.chain([first], examples), folder
        ),
    )


def _explained(
    classifier: predict.Classifier,
    explainer: Explainer,
    examples: Iterator[predict.Example],
    folder: Path | None,
) -> Iterator[page.Example]:
    """Yields each file's explanation, and writes its pictures."""
    for num, example in enumerate(examples):
        ((label, probability),) = classifier.decide([example])
        label_id = classifier.class_names.index(label)
        image = example.pixels / np.float32(255)
        attribution = explainer.integrated_gradients(image, label_id)
        shares = {
            "integrated_gradients": attribution.values.sum(axis=-1),
            "grad_cam": explainer.grad_cam(image, label_id),
        }
        pictures = {
            "image": overlays.encode(overlays.enlarged(image)),
            **{
                name: overlays.encode(overlays.overlay(image, values))
                for name, values in shares.items()
            },
        }
        facts: dict[str, Any] = {
            "label": label,
            "probability": round(probability, 6),
            "score": round(attribution.score, 6),
            "baseline_score": round(attribution.baseline_score, 6),
            "completeness_error": round(attribution.error, 6),
        }
        files = _write(folder, num, example.path, pictures) if folder else {}
        row = {"file": example.path, **facts, **files}
        yield page.Example(example.path, [row], facts, pictures=pictures)


def _write(
    folder: Path, num: int, path: str, pictures: Mapping[str, bytes]
) -> dict[str, str]:
    """Writes the pictures of a file; returns their paths by their names."""
    paths = {}
    for name, png in pictures.items():
        if name != "image":
            picture = folder / f"{num:04d}-{Path(path).stem[:100]}-{name}.png"
            with whole_file.writing(picture, "w+b") as file:
                file.write(png)
            paths[name] = str(picture)
    return paths
