"""The options that applications share."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any, ClassVar

from common import variants
from common.options import Checked, InputError, option

# A phone's photo has 12 to 50 megapixels, a chest X-ray has 10, a mammogram 14.
# A decoder needs up to 30 bytes of memory for each pixel.
MAX_MEGAPIXELS = 100.0
LONGEST_NAME = 100  # Characters of a data set's name in a run's directory.


@dataclasses.dataclass(frozen=True)
class Options(Checked):
    """The options that all apps share.

    Attributes:
        default_dataset: The data set to train on without `--dataset`; "" for
            none.
    """

    default_dataset: ClassVar[str] = ""

    mode: str = option(
        "train",
        "train a model and write a release, or use a release.",
        choices=("train", "evaluate", "predict", "explain"),
        training=False,
    )
    dataset: str = option(
        "", "a TFDS name, or the path of your own files.", data=True
    )
    data_dir: str = option(
        "",
        "the TFDS data directory; by default $TFDS_DATA_DIR or TFDS's own.",
        training=False,
    )
    export_dir: str = option(
        "saved_models", "the directory of releases.", training=False
    )
    work_dir: str = option(
        "",
        "the directory of checkpoints and logs; by default runs/<app>.",
        training=False,
    )
    epochs: int = option(
        10, "the number of passes over the training data.", minimum=1
    )
    batch_size: int = option(
        64, "the number of training examples per step.", minimum=1
    )
    patience: int = option(
        0,
        "the number of epochs without improvement after which training stops "
        "early; 0 never does.",
        minimum=0,
    )
    learning_rate: float = option(
        1e-3,
        "the optimizer's highest learning rate.",
        minimum=1e-8,
        maximum=10.0,
    )
    seed: int = option(
        0,
        "the seed of the splits, the order, the initial weights and dropout.",
        minimum=0,
        maximum=2**31,
        data=True,
    )
    variants: tuple[str, ...] = option(
        ("float32", "float16", "dynamic", "int8"),
        "the TFLite files to make, e.g. float32,int8,prune+cluster+qat.",
        training=False,
    )
    max_drop: float = option(
        0.005,
        "the most that the task metric of the chosen variant may be below "
        "that of float32, on the validation split.",
        minimum=0.0,
        training=False,
    )
    measure_examples: int = option(
        0,
        "the number of random examples of each split to measure the TFLite "
        "files on; 0 takes all.",
        minimum=0,
        training=False,
    )
    license: str = option(
        "",
        "the licence that the TFLite files name in their metadata, such as "
        "Apache-2.0; by default none.",
        training=False,
    )
    low_rank_weights: float = option(
        0.25,
        "lowrank: the part that is kept of the weights of the layers that can "
        "be of low rank.",
        minimum=0.01,
        maximum=0.99,
        training=False,
    )
    layer_ranks: tuple[str, ...] = option(
        (),
        "lowrank: the layers of low rank and their ranks, such as "
        "dense:16,conv2d:8, instead of --low_rank_weights.",
        training=False,
    )
    sparsity: float = option(
        0.9,
        "the part of each pruned kernel that is set to zero.",
        minimum=0.0,
        maximum=0.99,
        training=False,
    )
    prune_layers: tuple[str, ...] = option(
        (),
        "the names of the layers to prune; by default all that can be pruned.",
        training=False,
    )
    num_clusters: int = option(
        16,
        "the number of distinct values in each clustered kernel.",
        minimum=3,
        training=False,
    )
    finetune_epochs: int = option(
        3,
        "the number of epochs of fine-tuning after each compression step.",
        minimum=1,
        training=False,
    )
    finetune_learning_rate: float = option(
        1e-3,
        "the highest learning rate of fine-tuning after a compression step.",
        minimum=1e-8,
        maximum=10.0,
        training=False,
    )
    distill: float = option(
        0.5,
        "the weight of the float model's outputs among the targets of "
        "fine-tuning after a compression step.",
        minimum=0.0,
        maximum=1.0,
        training=False,
    )
    strategy: str = option(
        "auto",
        "how training is spread over devices: this machine's GPUs, or the "
        "workers of TF_CONFIG.",
        choices=("auto", "one_device", "mirrored", "multi_worker"),
    )
    data_service: str = option(
        "",
        "grpc://host:port of a tf.data service that prepares the batches.",
        training=False,
    )
    cluster_timeout: int = option(
        300,
        "multi_worker: the seconds to wait for the other workers at the start.",
        minimum=1,
        training=False,
    )
    release: str = option(
        "",
        "evaluate, predict, explain: the release directory; by default the "
        "newest.",
        training=False,
    )
    inputs: str = option(
        "",
        "predict, explain: the examples to predict, or to explain the "
        "predictions of.",
        training=False,
    )
    output: str = option(
        "",
        "predict, explain: the .csv or .json file to write all predictions to.",
        training=False,
    )
    raw_output: bool = option(
        False,
        "predict, explain: leave text in the .csv as it is, without an "
        "apostrophe where a spreadsheet would take it for a formula.",
        training=False,
    )

    server: str = option(
        "",
        "predict, explain: the server that predicts instead of a local "
        "release, http://host:8501 or grpc://host:8500; /labels/NAME or "
        "/versions/N may follow.",
        training=False,
    )

    def __post_init__(self) -> None:
        """Checks every option by its own rule, and then all together."""
        super().__post_init__()
        variants.parse(self.variants)
        if not self.dataset and self.mode == "train":
            object.__setattr__(self, "dataset", self.default_dataset)
        if self.server and self.mode not in ("predict", "explain"):
            raise InputError(
                "--server needs --mode=predict or explain; received "
                f"--mode={self.mode}."
            )

    def run_dir(self, app: str, *digests: str | None) -> Path:
        """Returns the directory of this run's checkpoints and logs.

        The same options and data lead to the same directory, so that a run
        continues its own training and no other.

        Args:
            app: The app.
            *digests: Digests of what training reads: of the examples, see
                `data.Splits.digest`, and of a teacher, if there is any.
        """
        root = Path(self.work_dir or f"runs/{app}")
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(self.dataset).name)
        # A list of files may be longer than a name may be.
        parts = [name[:LONGEST_NAME], self.digest(), *digests]
        return root / "-".join(part for part in parts if part)

    def digest(self) -> str:
        """Returns 8 hex digits that identify the options of the training."""
        values = self.training_values()
        if len(self.dataset) > 1:  # A folder's name may end in a slash.
            values["dataset"] = self.dataset.rstrip("/")
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def training_values(self) -> dict[str, Any]:
        """Returns the options that the trained weights depend on, by name."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata.get("training", True)
        }


@dataclasses.dataclass(frozen=True)
class ImageOptions(Options):
    """Options of the apps that read image files."""

    max_megapixels: float = option(
        MAX_MEGAPIXELS,
        "the most pixels, in millions, that an image file may claim; a larger "
        "one is refused before it is decoded, by a server too.",
        minimum=0.001,
        maximum=2**16,
        training=False,
    )


@dataclasses.dataclass(frozen=True)
class ExplanationOptions(Options):
    """Options of the apps that explain their predictions."""

    page: str = option(
        "",
        "explain: the .html file to write that shows the explanations.",
        training=False,
    )


@dataclasses.dataclass(frozen=True)
class TFLiteOptions(Options):
    """Options of the apps that can use a release's TFLite files."""

    variant: str = option(
        "",
        "evaluate, predict: the name of the TFLite file of the release to use "
        "instead of the SavedModel.",
        training=False,
    )


@dataclasses.dataclass(frozen=True)
class LSTMOptions(Options):
    """Options of the apps whose network can have an LSTM."""

    mobile_lstm: str = option(
        "loop",
        "the LSTMs of the TFLite files. loop: plain operators, in a loop if a "
        "sequence is long, which every runtime runs. fused: one operator each, "
        "a little smaller; its state must be reset before each call, and "
        "LiteRT's CompiledModel and LiteRT.js refuse it.",
        choices=("loop", "fused"),
        training=False,
    )
