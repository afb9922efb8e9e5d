"""The story of fraud detection, from data to a release."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common import variants
from common.compression import chain
from common.compression.finetuning import Finetuning
from common.data import pipelines
from common.data.splits import Split
from common.release import export, publishing
from common.training import distillation, fitting, inference
from common.workers import cluster

from . import baselines, explain, ranking, results, slicing, subject, teaching
from . import data as tables
from . import model as detectors
from .config import APP, Config
from .folds import Data, Fold, FraudSplits
from .history import History
from .inputs import Inputs
from .own_columns import Column


def load_data(
    config: Config,
    own: Sequence[Column] = (),
    history: History | None = None,
    whole: bool = False,
) -> Data:
    """Loads the folds, and the history that serving continues with.

    Args:
        config: The options.
        own: A release's own columns, if all rows are to judge that release.
        history: That release's history.
        whole: Whether all rows are to judge that release.
    """
    steps = config.steps if config.model == "sequence" else 0
    plan = config.plan(steps)
    if whole:
        return tables.load_for_evaluation(config.dataset, plan, own, history)
    data = tables.load(config.dataset, plan)
    tables.check_labels(data, in_train=config.model != "autoencoder")
    return data


def build_model(
    config: Config,
    data: Data,
    splits: FraudSplits,
    kind: str,
    before: detectors.Detector | None = None,
) -> detectors.Detector:
    """Builds an untrained detector.

    Args:
        config: The options.
        data: Gives the features' names and the table's own columns.
        splits: The splits of a fold.
        kind: One of `model.MODELS`.
        before: The trained autoencoder that a hybrid is built on.
    """
    train = splits.train
    return detectors.build(
        kind, data.names, train.features, train.labels, config.sizes(), before,
        data.own,
    )  # fmt: skip


def compile_model(
    network: keras.Model,
    config: Config,
    splits: FraudSplits,
    kind: str,
) -> keras.Model:
    """Compiles a network with AdamW and the loss of its kind."""
    steps = pipelines.num_steps(splits.train, config.batch_size)
    # Rare frauds hardly move the absolute error, so that the autoencoder does
    # not learn to reconstruct them.
    loss: Any = "mean_absolute_error"
    metric: Any = keras.metrics.RootMeanSquaredError(name="rmse")
    if kind != "autoencoder":
        loss = detectors.loss(config.imbalance, splits.train.labels)
        metric = keras.metrics.AUC(curve="PR", name="pr_auc")
    network.compile(
        keras.optimizers.AdamW(
            fitting.learning_rate(config, "cosine", 0.05, steps),
            weight_decay=config.weight_decay,
        ),
        loss,
        metrics=[metric],
        steps_per_execution=16,
        jit_compile=False,
    )
    return network


def fit(
    config: Config,
    data: Data,
    splits: FraudSplits,
    kind: str,
    before: detectors.Detector | None = None,
    teacher: distillation.Teacher | None = None,
) -> tuple[detectors.Detector, fitting.Log, Path]:
    """Trains a detector.

    Args:
        config: The options.
        data: The data.
        splits: The splits of a fold.
        kind: One of `model.MODELS`.
        before: The trained autoencoder that a hybrid is built on.
        teacher: The network that the detector learns from, if any.

    Returns:
        The trained detector, the log, and the folder of its checkpoints.
    """
    with fitting.scope(config):
        detector = build_model(config, data, splits, kind, before)
        compile_model(detector.network, config, splits, kind)
    encode = detectors.transform(detector, kind, config.corruption)
    unsupervised = kind == "autoencoder"
    work_dir = config.run_dir(
        APP, f"{splits.digest()}-{kind}", teacher and teacher.digest
    )
    log = fitting.fit(
        detector.network, splits, config,
        work_dir=work_dir,
        transform=encode,
        evaluation_transform=encode,
        monitor="val_loss" if unsupervised else "val_pr_auc",
        mode="min" if unsupervised else "max",
        teacher=teacher,
    )  # fmt: skip
    return detectors.settle(detector, splits.train.features), log, work_dir


def train(
    config: Config,
    data: Data,
    fold: Fold,
    teacher: distillation.Teacher | None = None,
) -> results.Outcome:
    """Trains a model on one fold, scores it and chooses its threshold."""
    splits, before, work_dirs = fold.splits, None, []
    if config.model == "hybrid":
        before, _, work_dir = fit(config, data, splits, "autoencoder")
        work_dirs.append(work_dir)
    detector, log, work_dir = fit(
        config, data, splits, config.model, before, teacher
    )
    work_dirs.append(work_dir)
    # A hybrid's autoencoder was frozen; compression fine-tunes all weights.
    detector.network.trainable = True
    model = detector.full_model()
    valid = evaluate(model, splits.valid)
    test = evaluate(model, splits.test)
    threshold = ranking.threshold(valid, fold.valid.day, config.alerts)
    return results.Outcome(
        fold, detector, model, log, valid, test, threshold, work_dirs
    )


def evaluate(model: keras.Model, split: Split) -> np.ndarray:
    """Returns the scores of a split, `(num,) float32`."""
    return inference.outputs(model, inference.batches(split))[0][:, 0]


def signatures(
    outcome: results.Outcome,
    explainer: explain.Explainer,
    inputs: Inputs,
) -> dict[str, export.Signature]:
    """Returns the signature that takes each feature by its name."""

    def serve(*columns: Any) -> dict[str, Any]:
        raw = inputs.raw(columns)
        score = outcome.model(raw, training=False)[:, 0]
        return {
            "score": score,
            "is_fraud": score >= outcome.threshold,
            "reasons": explainer.reasons(explainer.parts(raw)),
        }

    example = outcome.fold.splits.valid.sample(8, seed=0).features
    return {
        "serving_default": export.Signature(
            serve, inputs.specs, inputs.cells(example)
        )
    }


def run(config: Config) -> dict[str, Any]:
    """Trains, compresses, measures and releases; returns the report."""
    export.check(config.export_dir)
    data = load_data(config)
    # New tables are read as this one was, though their cells may not tell it.
    config = config.replace(
        date_order=data.table_format.date_order,
        decimal_mark=data.table_format.decimal_mark,
    )
    splits = data.folds[-1].splits
    untrained = build_model(config, data, splits, config.model)
    plan = chain.plan(
        untrained.network, variants.parse(config.variants), config
    )
    splits.announce()
    teacher = teaching.load(config, data, splits, untrained)
    outcomes = [train(config, data, fold, teacher) for fold in data.folds]
    cluster.end_unless_chief()
    last, costs = outcomes[-1], config.costs()
    encode = detectors.transform(last.detector, config.model, config.corruption)
    finetuning = Finetuning(splits.train, encode, config)
    twins = chain.compress(last.detector.network, plan.variants, finetuning)
    explainer = explain.Explainer(last.detector)
    steps = splits.train.features.shape[1:-1]
    inputs = Inputs(data.names, data.own, (None, *steps))
    return publishing.publish(
        APP, config, splits, last.model,
        subject=subject.of(config),
        signatures=signatures(last, explainer, inputs),
        tracked=[*explainer.tracked, *inputs.tracked],
        write_mobile=lambda directory: results.write_mobile(
            directory, last, twins, plan, data, costs, config
        ),
        write_more=lambda directory: results.write_history(directory, data),
        task_metric="average_precision",
        metrics=results.summarize(outcomes, costs),
        draw=lambda report: results.draw(report, outcomes, costs, explainer),
        log=last.log, refused=plan.refused, teacher=teacher,
        ranks=chain.ranks(twins),
        sliced=slicing.build(
            {"valid": last.valid, "test": last.test},
            {"valid": last.fold.valid, "test": last.fold.test},
            last.threshold, costs, config.slice_by,
        ),
        baselines=baselines.measure(data, config.seed, config.top_cards)
        if config.baselines else (),
        work_dirs=[path for outcome in outcomes for path in outcome.work_dirs],
    )  # fmt: skip
