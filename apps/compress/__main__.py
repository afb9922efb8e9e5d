"""Compression of a user's own Keras 3 model, from .keras to a phone.

Data: a TFDS name, a folder of class folders, or a .npz file with x and y.
Model: a functional or Sequential .keras file; nothing in it is run as code.
Result: a release with a SavedModel, TFLite files and a report. A model of
80,202 weights, trained elsewhere on MNIST: 297.5 kB became 14.2 kB (gzip), test
accuracy .9858 became .9842 (prune+cluster+int8; tests/test_compress_large.py).

  python -m apps.compress --model=my.keras --dataset=mnist --max_drop=0.01
  python -m apps.compress --model=my.keras --calibration=inputs.npz
"""

import dataclasses
from typing import Any

import numpy as np
from etils import epy

from common import config as options
from common import runtime
from common.compression import variants as names
from common.config import InputError, fixed, option

with epy.lazy_imports():
    import keras
    import tensorflow as tf

    from apps.compress import mobile, npz, results, user_data, user_model
    from apps.compress import objective as objectives
    from common import compression, data, export, keras2, report, training

APP = "compress"


@dataclasses.dataclass(frozen=True)
class Config(options.ImageOptions):
    """Options of this app."""

    model: str = option("", "the .keras file to compress.")
    dataset: str = option(
        "",
        "a TFDS name, a folder of class folders, or a .npz file with x and y "
        "(also x_valid, y_valid, x_test, y_test; for several inputs their "
        "names instead of x).",
        data=True,
    )
    calibration: str = option(
        "",
        "a .npz file with x only: the inputs that int8 ranges come from; "
        "enough for the variants without fine-tuning.",
    )
    loss: str = option("", "a Keras loss; by default the model's own.")
    metric: str = option(
        "", "the Keras metric to keep; by default the model's first."
    )
    metric_direction: str = option(
        "auto",
        "whether more of the metric is better (up) or less (down); auto: as "
        "Keras or the metric's name says.",
        choices=("auto", "up", "down"),
    )
    scale: str = option(
        "auto",
        "what inputs are multiplied by, e.g. 1/255; auto: 1/255 for bytes, "
        "unless the model has a layer that scales them, else 1.",
    )
    offset: float = option(0.0, "what is added to inputs after scaling.")
    variants: tuple[str, ...] = option(
        ("float32", "float16", "dynamic", "int8", "prune+int8",
         "prune+cluster+int8"),
        "TFLite files to make, e.g. float32,int8,prune+cluster+qat.",
    )  # fmt: skip
    max_drop: float = option(
        0.01, "the most that the metric of the chosen variant may worsen.",
        minimum=0.0,
    )  # fmt: skip
    finetune_epochs: int = option(
        0,
        "epochs after each compression step; 0: as many as make 1,000 steps, "
        "from 3 to 30.",
        minimum=0,
    )
    denylist: tuple[str, ...] = option(
        (), "layers that int8 files leave in float."
    )
    selective: bool = option(
        False,
        "where an int8 file drops too much, leave its costliest layers in "
        "float.",
    )
    mode: str = fixed("train")
    epochs: int = fixed(1)
    learning_rate: float = fixed(1e-3)
    work_dir: str = fixed("")
    strategy: str = fixed("one_device")
    data_service: str = fixed("")
    cluster_timeout: int = fixed(1)
    release: str = fixed("")
    inputs: str = fixed("")
    output: str = fixed("")
    raw_output: bool = fixed(False)
    server: str = fixed("")

    def __post_init__(self) -> None:
        """Checks the options before any work."""
        super().__post_init__()
        names.parse(self.variants)
        if not self.model:
            raise InputError("--model must be a .keras file; received none.")
        if not (self.dataset or self.calibration):
            raise InputError(
                "--dataset must be given, or --calibration where there are no "
                "labels; received neither."
            )


def load_data(config: Config, model: "keras.Model") -> "data.Splits":
    """Loads labelled splits, or those of the calibration inputs."""
    path = config.dataset or config.calibration
    if path.endswith(".npz") or not config.dataset:
        return npz.load(path, model, config.seed, labelled=bool(config.dataset))
    return user_data.load_images(path, model, config)


def build_model(config: Config) -> "user_model.UserModel":
    """Loads the user's model; runs no code that it may bring."""
    return user_model.load(config.model)


def compile_model(user: "user_model.UserModel", config: Config) -> Any:
    """Returns what the model is judged by: loss and metrics, or agreement."""
    if not config.dataset:
        return objectives.Agreement(user)
    return objectives.build(
        user, config.loss, config.metric, config.metric_direction
    )


def evaluate(
    model: "keras.Model", split: "data.Split", feed: "user_data.Feed"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the outputs and the targets of a whole split."""
    run = tf.function(
        lambda batch: model(batch, training=False), reduce_retracing=True
    )
    found, targets = [], []
    try:
        for inputs, truth in feed.batches(split):
            found.append(run(feed.unpack(inputs)).numpy())
            targets.append(truth)
    except tf.errors.InvalidArgumentError as error:
        raise InputError(
            "the data must be what the model takes; it fails with "
            f"{' '.join(str(error.message).split())[:200]}"
        ) from None
    outputs = np.concatenate(found)
    if not np.all(np.isfinite(outputs)):
        raise InputError(
            "the model must give finite numbers; for some of the data it does "
            "not. Look at its weights, the data, --scale and --offset."
        )
    return outputs, np.concatenate(targets)


def signatures(
    model: "keras.Model", feed: "user_data.Feed", splits: "data.Splits"
) -> dict[str, "export.Signature"]:
    """Returns the model's own inputs and output as `serving_default`."""
    names = list(feed.specs)
    example, _ = next(feed.batches(splits.valid.sample(8, seed=0)))

    def serve(*tensors: Any) -> dict[str, Any]:
        inputs = dict(zip(names, tensors, strict=True))
        return {results.OUTPUT: model(feed.unpack(inputs), training=False)}

    specs = (
        tf.TensorSpec((None, *shape), dtype, name)
        for name, (shape, dtype) in feed.specs.items()
    )
    return {
        "serving_default": export.Signature(
            serve, tuple(specs), tuple(example[name] for name in names)
        )
    }


def run(config: Config) -> dict[str, Any]:
    """Compresses, measures and releases; returns the report."""
    export.check(config.export_dir)
    user = build_model(config)
    model, objective = user.model, compile_model(user, config)
    splits = load_data(config, model)
    config = results.resolve(config, model, splits, objective)
    feed, splits = user_data.fit(model, splits, objective, config)
    measured = {
        name: evaluate(model, getattr(splits, name), feed)
        for name in ("valid", "test")
    }
    if not config.dataset:
        splits = user_data.labelled_by(measured, splits)
        measured = {name: (one, one) for name, (one, _) in measured.items()}
    scores = {name: objective.measure(*one) for name, one in measured.items()}
    results.tell(model, scores, splits)
    examples = results.calibration(config, model, feed, splits)
    variants, refused = results.plan(
        model, keras2.to_tf_keras(model), names.parse(config.variants),
        examples, config,
    )  # fmt: skip
    twins = compression.compress(
        model, variants, results.finetuning(splits, feed, config)
    )
    with export.release(config.export_dir, APP) as draft:
        serving = export.save(
            draft.directory, model, signatures(model, feed, splits)
        )
        files = mobile.write(
            draft.directory / "mobile", twins, variants, examples, splits,
            feed, config, reference=measured["test"][0],
        )  # fmt: skip
        result = report.build(
            APP, config, results.noted(splits, files.selected, config),
            task_metric=objective.name, metrics=scores,
            log=training.Log({}, 0.0, 0.0),
            variants=files.rows, refused=refused + files.refused,
            serving=serving, higher_is_better=objective.higher_is_better,
            baselines=results.trivial(
                objective, model.output_shape, measured["valid"][1],
                measured["test"][1],
            ),
        )  # fmt: skip
        result["selective"] = files.selected
        pictures = results.draw(result, splits, objective, *measured["test"])
        report.write(draft.directory / "report", result, pictures)
    report.print_table(result, draft.path)
    return result


def main(config: Config) -> None:
    """Compresses the model."""
    runtime.start(config.seed)
    run(config)


if __name__ == "__main__":
    options.launch(main, Config)
