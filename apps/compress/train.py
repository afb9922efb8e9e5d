"""The steps of compressing a user's own model, from data to a release."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common import variants
from common.compression import chain
from common.data.splits import Split, Splits
from common.keras2 import bridge
from common.options import InputError
from common.release import export, publishing
from common.training import fitting, inference

from . import mobile, npz, results, user_data, user_model
from . import objective as objectives
from .config import APP, Config


def load_data(config: Config, model: keras.Model) -> Splits:
    """Loads the splits of `--dataset`, or else those of `--calibration`.

    The latter have no labels.
    """
    path = config.dataset or config.calibration
    if path.endswith(".npz") or not config.dataset:
        return npz.load(path, model, config.seed, labelled=bool(config.dataset))
    return user_data.load_images(path, model, config)


def build_model(config: Config) -> user_model.UserModel:
    """Loads the user's model without running code that its file may hold."""
    return user_model.load(config.model)


def compile_model(
    user: user_model.UserModel, config: Config
) -> objectives.Objective | objectives.Agreement:
    """Returns the loss and the metrics, or without labels the agreement."""
    if not config.dataset:
        return objectives.Agreement(user)
    return objectives.build(
        user, config.loss, config.metric, config.metric_direction
    )


def evaluate(
    model: keras.Model, split: Split, feed: user_data.Feed
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the outputs and the targets of a split, `(num, ...)` each.

    Raises:
        InputError: If the model cannot take the data, or gives numbers that
            are not finite.
    """
    try:
        outputs, targets = inference.outputs(
            model,
            (
                (feed.unpack(inputs), targets)
                for inputs, targets in feed.batches(split)
            ),
        )
    except tf.errors.InvalidArgumentError as error:
        raise InputError(
            "the data must fit the model, which fails with "
            f"{' '.join(str(error.message).split())[:200]}"
        ) from None
    if not np.all(np.isfinite(outputs)):
        raise InputError(
            "the model must give finite numbers; for some examples it does "
            "not. Check its weights, the data, --scale and --offset."
        )
    return outputs, targets


def signatures(
    model: keras.Model, feed: user_data.Feed, splits: Splits
) -> dict[str, export.Signature]:
    """Returns `serving_default`, with the model's own inputs, by name."""
    names = list(feed.specs)
    example, _ = next(feed.batches(splits.valid.sample(8, seed=0)))

    def serve(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
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
        measured = {
            name: (outputs, outputs) for name, (outputs, _) in measured.items()
        }
    scores = {name: objective.measure(*pair) for name, pair in measured.items()}
    results.print_summary(model, scores, splits)
    examples = results.calibration(config, model, feed, splits)
    plan = results.plan(
        model, bridge.to_tf_keras(model), variants.parse(config.variants),
        examples, config,
    )  # fmt: skip
    twins = chain.compress(
        model, plan.variants, results.finetuning(splits, feed, config)
    )
    files = mobile.Mobile(refused=plan.refused)
    return publishing.publish(
        APP, config, splits, model,
        signatures=signatures(model, feed, splits),
        write_mobile=lambda directory: mobile.write(
            directory, files, twins, plan, examples, splits, feed, config,
            reference=measured["test"][0],
        ),
        task_metric=objective.name,
        metrics=scores,
        draw=lambda report: results.draw(
            report, files.selected, splits, objective, *measured["test"]
        ),
        log=fitting.Log({}, 0.0, 0.0),
        refused=files.refused,
        higher_is_better=objective.higher_is_better,
        baselines=results.trivial(
            objective, model.output_shape, measured["valid"][1],
            measured["test"][1],
        ),
    )  # fmt: skip
