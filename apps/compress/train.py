"""The steps of compressing a user's own model, from data to a release."""

import dataclasses
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
from common.training import distillation, fitting, inference

from . import (
    custom_objects,
    mobile,
    npz,
    raw_examples,
    results,
    subject,
    teaching,
    user_data,
    user_model,
)
from . import objective as objectives
from . import outputs as several
from .config import APP, Config

Judge = objectives.Objective | objectives.Agreement | several.Objectives


def load_data(
    config: Config, model: keras.Model, objective: Judge | None = None
) -> Splits:
    """Loads the splits of `--dataset`, or else those of `--calibration`.

    The latter have no labels. Those of a model with several outputs are by the
    name of an output that has a part of the objective.
    """
    path = config.dataset or config.calibration
    outputs = tuple(getattr(objective, "parts", ()))
    if path.endswith(".npz") or not config.dataset:
        return npz.load(path, model, config.seed, bool(config.dataset), outputs)
    if outputs:
        raise InputError(
            f"--dataset={path} must be a .npz file for a model of several "
            f"outputs, with labels in {', '.join(f'y_{x}' for x in outputs)}."
        )
    return user_data.load_images(path, model, config)


def build_model(config: Config) -> user_model.UserModel:
    """Loads the user's model without running code that its file may hold.

    Code runs only where `--import` names it.
    """
    for name in config.import_:
        custom_objects.register(name)
    return user_model.load(config.model)


def compile_model(user: user_model.UserModel, config: Config) -> Judge:
    """Returns the loss and the metrics, or without labels the agreement."""
    if len(user.outputs) > 1 and not config.dataset:
        return several.agreements(user, config.task_output)
    if len(user.outputs) > 1:
        return several.build(
            user, config.loss, config.metric, config.metric_direction,
            config.task_output,
        )  # fmt: skip
    if config.task_output:
        raise InputError(
            "--task_output must be left out for a model with one output; "
            f"received {config.task_output!r}."
        )
    if not config.dataset:
        return objectives.Agreement(user.model.outputs[0], user.loss)
    return objectives.build(
        user, config.loss, config.metric, config.metric_direction
    )


def evaluate(
    user: user_model.UserModel, split: Split, feed: user_data.Feed
) -> tuple[Any, Any]:
    """Returns the outputs and the targets of a split.

    Each is an array `(num, ...)`; for several outputs, such arrays by name.

    Raises:
        InputError: If the model cannot take the data, or gives numbers that
            are not finite.
    """
    try:
        results, targets = inference.outputs(
            lambda inputs: _unless_single(user.named(inputs)),
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
    if not all(np.isfinite(x).all() for x in tf.nest.flatten(results)):
        raise InputError(
            "the model must give finite numbers; for some examples it does "
            "not. Check its weights, the data, --scale and --offset."
        )
    return results, targets


def _unless_single(named: dict[str, Any]) -> Any:
    """Returns outputs by name; an only output without its name."""
    return named if len(named) > 1 else next(iter(named.values()))


def signatures(
    user: user_model.UserModel,
    feed: user_data.Feed,
    splits: Splits,
    raw: Splits,
) -> dict[str, export.Signature]:
    """Returns `serving_default`, with the model's own inputs, by name.

    Args:
        user: The model.
        feed: Brings examples into the form that the files take.
        splits: The data in front of `feed`.
        raw: The data in front of the model's front end.
    """
    if user.front:
        served = raw_examples.signature(
            user.front, raw.valid, lambda x: user.named(feed.unpack(x))
        )
        return {"serving_default": served}
    names = list(feed.specs)
    example, _ = next(feed.batches(splits.valid.sample(8, seed=0)))

    def serve(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = dict(zip(names, tensors, strict=True))
        return user.named(feed.unpack(inputs))

    specs = (
        tf.TensorSpec((None, *shape), dtype, name)
        for name, (shape, dtype) in feed.specs.items()
    )
    return {
        "serving_default": export.Signature(
            serve, tuple(specs), tuple(example[name] for name in names)
        )
    }


def load_teacher(
    config: Config,
    student: user_model.UserModel,
    splits: Splits,
    feed: user_data.Feed,
) -> distillation.Teacher | None:
    """Returns the model of `--teacher`, if there is one.

    Raises:
        InputError: If it does not fit; see `teaching.load`.
    """
    if not config.teacher:
        return None
    user = teaching.load(config, student, feed)
    objective = feed.objective
    return distillation.Teacher.of(
        user.model,
        config,
        metrics=objective.measure(*evaluate(user, splits.valid, feed)),
        binary=objective.is_binary,
        from_logits=objective.from_logits,
    )


def run(config: Config) -> dict[str, Any]:
    """Compresses, measures and releases; returns the report."""
    export.check(config.export_dir)
    user = build_model(config)
    model, objective = user.model, compile_model(user, config)
    raw = load_data(config, user.raw, objective)
    splits = raw_examples.numbers(user.front, raw)
    config = results.resolve(config, model, splits, objective)
    splits = dataclasses.replace(splits, notes=(*splits.notes, *user.notes))
    feed, splits = user_data.fit(model, splits, objective, config)
    teacher = load_teacher(config, user, splits, feed)
    log, work_dirs = fitting.Log({}, 0.0, 0.0), []
    if teacher:
        log, work_dir = teaching.train(config, model, teacher, splits, feed)
        work_dirs.append(work_dir)
    measured = {
        name: evaluate(user, getattr(splits, name), feed)
        for name in ("valid", "test")
    }
    if not config.dataset:
        splits = user_data.labelled_by(measured, splits)
        measured = {
            name: (values, values) for name, (values, _) in measured.items()
        }
    scores = {name: objective.measure(*pair) for name, pair in measured.items()}
    results.print_summary(model, scores, splits)
    examples = results.calibration(config, user, feed, splits)
    plan = results.plan(
        model, bridge.to_tf_keras(model), variants.parse(config.variants),
        examples, user.outputs, config,
    )  # fmt: skip
    twins = chain.compress(
        model, plan.variants, results.finetuning(splits, feed, config)
    )
    files = mobile.Mobile(refused=plan.refused)
    return publishing.publish(
        APP, config, splits, user.original or model,
        subject=subject.of(config),
        signatures=signatures(user, feed, splits, raw),
        write_more=user.front.write if user.front else None,
        write_mobile=lambda directory: mobile.write(
            directory, files, twins, plan, examples, splits, feed, config,
            reference=measured["test"][0], outputs=user.outputs,
        ),
        task_metric=objective.name,
        metrics=scores,
        draw=lambda report: results.draw(
            report, files.selected, splits, objective, *measured["test"]
        ),
        log=log, work_dirs=work_dirs, teacher=teacher,
        refused=files.refused, ranks=chain.ranks(twins),
        higher_is_better=objective.higher_is_better,
        baselines=results.trivial(
            objective, model.output_shape, measured["valid"][1],
            measured["test"][1],
        ),
    )  # fmt: skip
