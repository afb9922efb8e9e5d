"""Fine-tuning a twin against Keras 3 training of the same model and data.

  python -m benchmarks.finetuning --steps=64 --rounds=3

Trains networks of the applications on random data of their data's shape: an
epoch in Keras 3, then one technique each with one epoch and with three, in
turn. Prints for each technique the fixed cost, which is what one epoch takes
beyond the time of an epoch, and the ratio of an epoch to one of Keras 3, as
medians of the rounds.
"""

import argparse
import contextlib
import dataclasses
import io
import statistics
import time
from collections.abc import Callable

from common import runtime

runtime.start(0)  # Before TensorFlow is imported, or it is not quiet.

import keras  # noqa: E402
import numpy as np  # noqa: E402

from apps.image_classify import augment  # noqa: E402
from apps.image_classify import model as classifiers  # noqa: E402
from apps.image_classify.config import Config as ImageConfig  # noqa: E402
from apps.medical_autoencoder import data as scans  # noqa: E402
from apps.medical_autoencoder import model as autoencoders  # noqa: E402
from apps.medical_autoencoder import similarity  # noqa: E402
from apps.medical_autoencoder.config import Config as ScanConfig  # noqa: E402
from apps.text_sentiment import batches as texts  # noqa: E402
from apps.text_sentiment import model as lstms  # noqa: E402
from apps.text_sentiment.config import Config as TextConfig  # noqa: E402
from common import variants  # noqa: E402
from common.compression import chain  # noqa: E402
from common.compression.finetuning import Finetuning  # noqa: E402
from common.data import pipelines  # noqa: E402
from common.data.splits import MemorySplit  # noqa: E402

VARIANTS = ("prune+int8", "cluster+int8", "qat")
MORE_EPOCHS = 2  # Beyond the first.


@dataclasses.dataclass(frozen=True)
class Setting:
    """A compiled model, and how twins of it are fine-tuned."""

    model: keras.Model
    finetuning: Finetuning


def classifier(name: str, num_steps: int) -> Setting:
    """Returns one of image_classify's networks, for images of 28 x 28."""
    options = ImageConfig(batch_size=128)
    rng = np.random.default_rng(0)
    num = num_steps * options.batch_size
    split = MemorySplit(
        rng.integers(0, 256, (num, 28, 28, 1), dtype=np.uint8),
        rng.integers(0, 10, num),
    )
    network = classifiers.build(name, (28, 28, 1), 10)
    network.compile(
        "adam", "categorical_crossentropy", metrics=["accuracy"],
        steps_per_execution=16, jit_compile=False,
    )  # fmt: skip
    transform = augment.for_training(10, augment.Augmentation())
    return Setting(network, Finetuning(split, transform, options))


def text_classifier(num_steps: int) -> Setting:
    """Returns text_sentiment's network, for reviews of 400 words as IMDB's."""
    options = TextConfig(batch_size=64)
    rng = np.random.default_rng(0)
    num = num_steps * options.batch_size
    ids = rng.integers(2, 30_000, (num, 400), dtype=np.int32)
    split = MemorySplit(ids, rng.integers(0, 2, num))
    network = lstms.build(30_000, 2, embedding_dim=64, units=32)
    network.compile(
        "adam",
        "categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    transform = texts.for_training(2, word_dropout=0.2)
    return Setting(network, Finetuning(split, transform, options))


def autoencoder(num_steps: int) -> Setting:
    """Returns medical_autoencoder's network, for images of 28 x 28."""
    options = ScanConfig(batch_size=64)
    rng = np.random.default_rng(0)
    num = num_steps * options.batch_size
    split = MemorySplit(
        rng.random((num, 28, 28, 1), dtype=np.float32), np.zeros(num, int)
    )
    network = autoencoders.build(
        options.model, (28, 28, 1), options.latent, options.filters
    )
    loss = similarity.loss(options.loss)
    network.compile("adam", loss, steps_per_execution=16, jit_compile=False)
    transform = scans.for_training(options)
    return Setting(network, Finetuning(split, transform, options, loss))


SETTINGS: dict[str, Callable[[int], Setting]] = {
    "lenet5": lambda steps: classifier("lenet5", steps),
    "small_cnn": lambda steps: classifier("small_cnn", steps),
    "lstm": text_classifier,
    "autoencoder": autoencoder,
}


def keras_seconds(setting: Setting, rounds: int) -> float:
    """Returns the median time of an epoch of `fit`; the first is left out."""
    tuning = setting.finetuning
    batches = pipelines.for_training(
        tuning.split, tuning.options.batch_size, seed=0,
        position=pipelines.Position(), transform=tuning.transform,
    )  # fmt: skip
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        setting.model.fit(batches, shuffle=False, verbose=0)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def step_seconds(setting: Setting, variant: str, epochs: int) -> float:
    """Returns the time of a variant's technique with epochs of fine-tuning."""
    options = setting.finetuning.options.replace(finetune_epochs=epochs)
    finetuning = dataclasses.replace(setting.finetuning, options=options)
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        chain.compress(setting.model, variants.parse([variant]), finetuning)
    return time.perf_counter() - start


def main() -> None:
    """Prints a line for each network and technique."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=SETTINGS)
    parser.add_argument("--steps", type=int, default=64, help="in an epoch")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for name in options.models or SETTINGS:
        keras.utils.set_random_seed(0)
        setting = SETTINGS[name](options.steps)
        epoch = keras_seconds(setting, options.rounds)
        print(f"{name:<12} an epoch of Keras 3 {epoch:6.2f} s", flush=True)
        plan = chain.plan(setting.model, variants.parse(VARIANTS))
        for variant in (x.name for x in plan.variants if x.techniques):
            fixed, ratios = [], []
            for _ in range(options.rounds):
                first = step_seconds(setting, variant, 1)
                longer = step_seconds(setting, variant, 1 + MORE_EPOCHS)
                own = (longer - first) / MORE_EPOCHS
                fixed.append(first - own)
                ratios.append(own / keras_seconds(setting, 1))
            print(
                f"{name:<12} {variant:<12} fixed "
                f"{statistics.median(fixed):5.1f} s, an epoch "
                f"{statistics.median(ratios):.2f} times Keras 3's",
                flush=True,
            )


if __name__ == "__main__":
    main()
