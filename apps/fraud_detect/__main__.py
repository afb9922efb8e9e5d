"""Fraud detection: from late labels to alerts a day, with reasons.

Data: a table of transactions, a table of ready-made features, or the embedded
simulation. Model: --model. Result: a release with a SavedModel, TFLite files
and a report. The Handbook's P1, three seeds: AP .740, AUC .903, CP@100 .305;
P2, without labels: AP .457, AUC .870, CP@100 .264. P3, four weeks: AP
.724, AUC .886, CP@100 .310.

  python -m apps.fraud_detect --flagfile=apps/flagfiles/NAME.flags
  python -m apps.fraud_detect --mode=predict --inputs=new.csv
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from etils import epy

from apps.fraud_detect import settings
from common import cluster, runtime, strict_json
from common import config as options
from common.compression import variants as names
from common.config import option

with epy.lazy_imports():
    import keras
    import tensorflow as tf

    from apps.fraud_detect import baselines, explain, predict, ranking, results
    from apps.fraud_detect import data as tables
    from apps.fraud_detect import model as detectors
    from common import (
        compression,
        data,
        evaluation,
        export,
        report,
        served,
        training,
    )

APP = "fraud_detect"


@dataclasses.dataclass(frozen=True)
class Config(settings.NetworkOptions):
    """Options of this app."""

    dataset: str = option(
        "", "a table file; by default simulated_transactions.", data=True
    )
    model: str = option(
        "classifier",
        "the network; autoencoder uses no labels.",
        choices=("classifier", "autoencoder", "hybrid", "sequence"),
        data=True,
    )
    steps: int = option(
        6,
        "transactions in a sequence of --model=sequence.",
        minimum=2,
        maximum=1000,
        data=True,
    )
    imbalance: str = option(
        "none",
        "how the loss treats rare frauds.",
        choices=("none", "weights", "focal"),
    )
    weight_decay: float = option(1e-3, "AdamW's decay.", minimum=0.0)
    batch_size: int = option(512, "examples per step.", minimum=1)
    learning_rate: float = option(
        2e-3, "peak step size.", minimum=1e-8, maximum=10.0
    )
    patience: int = option(
        0, "epochs without a better one before a stop; 0: none.", minimum=0
    )

    def __post_init__(self) -> None:
        """Checks the options, and the variants' names before any work."""
        super().__post_init__()
        names.parse(self.variants)
        if not self.dataset and self.mode == "train":
            object.__setattr__(self, "dataset", "simulated_transactions")


def load_data(
    config: Config, scorer: "predict.Scorer | None" = None
) -> "tables.Data":
    """Loads the folds, and the history that serving continues with.

    Args:
        config: The options.
        scorer: A release that all rows of the table judge.
    """
    steps = config.steps if config.model == "sequence" else 0
    plan = config.plan(steps)
    if scorer:
        return tables.whole(
            config.dataset, plan, scorer.names, scorer.history()
        )
    found = tables.load(config.dataset, plan)
    tables.check_labels(found, in_train=config.model != "autoencoder")
    return found


def build_model(
    config: Config,
    features: tuple[str, ...],
    splits: "tables.FraudSplits",
    kind: str,
    before: "detectors.Detector | None" = None,
) -> "detectors.Detector":
    """Builds a detector; `before` is what a hybrid is built on."""
    train = splits.train
    return detectors.build(
        kind, features, train.features, train.labels, config.sizes(), before
    )


def compile_model(
    network: "keras.Model",
    config: Config,
    splits: "tables.FraudSplits",
    kind: str,
) -> "keras.Model":
    """Compiles a network with AdamW and the loss of its kind."""
    steps = data.num_steps(splits.train, config.batch_size)
    # Absolute: rare frauds hardly move it, so they stay hard to reconstruct.
    loss: Any = "mean_absolute_error"
    metric: Any = keras.metrics.RootMeanSquaredError(name="rmse")
    if kind != "autoencoder":
        loss = detectors.loss(config.imbalance, splits.train.labels)
        metric = keras.metrics.AUC(curve="PR", name="pr_auc")
    network.compile(
        keras.optimizers.AdamW(
            training.learning_rate(config, "cosine", 0.05, steps),
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
    features: tuple[str, ...],
    splits: "tables.FraudSplits",
    kind: str,
    before: "detectors.Detector | None" = None,
) -> "tuple[detectors.Detector, training.Log, Path]":
    """Trains a detector; returns it, the log, and its checkpoints' place."""
    with training.scope(config):
        detector = build_model(config, features, splits, kind, before)
        compile_model(detector.network, config, splits, kind)
    encode = detectors.transform(detector, kind, config.corruption)
    unsupervised = kind == "autoencoder"
    work_dir = config.run_dir(APP, f"{splits.digest()}-{kind}")
    log = training.fit(
        detector.network, splits, config,
        work_dir=work_dir,
        transform=encode,
        evaluation_transform=encode,
        monitor="val_loss" if unsupervised else "val_pr_auc",
        mode="min" if unsupervised else "max",
        patience=config.patience,
    )  # fmt: skip
    return detectors.settle(detector, splits.train.features), log, work_dir


def train(
    config: Config, features: tuple[str, ...], fold: "tables.Fold"
) -> "results.Outcome":
    """Trains a model on one fold, scores it and chooses its threshold."""
    splits, before, work_dirs = fold.splits, None, []
    if config.model == "hybrid":
        before, _, place = fit(config, features, splits, "autoencoder")
        work_dirs.append(place)
    detector, log, place = fit(config, features, splits, config.model, before)
    work_dirs.append(place)
    detector.network.trainable = True  # For what compression fine-tunes.
    model = detector.whole()
    valid, test = (evaluate(model, one) for one in (splits.valid, splits.test))
    threshold = ranking.threshold(valid, fold.valid.day, config.alerts)
    return results.Outcome(
        fold, detector, model, log, valid, test, threshold, work_dirs
    )


def evaluate(model: "keras.Model", split: "data.Split") -> np.ndarray:
    """Returns the scores `(num,)` of a split."""
    run = tf.function(
        lambda batch: model(batch, training=False), reduce_retracing=True
    )
    found = [run(rows).numpy()[:, 0] for rows, _ in results.batches(split)]
    return np.concatenate(found)


def signatures(
    outcome: "results.Outcome",
    explainer: "explain.Explainer",
    features: tuple[str, ...],
) -> dict[str, "export.Signature"]:
    """Returns what a client may send: the raw features, each by its name."""

    def serve(*columns: Any) -> dict[str, Any]:
        raw = tf.stack(columns, axis=-1)
        score = outcome.model(raw, training=False)[:, 0]
        return {
            "score": score,
            "is_fraud": score >= outcome.threshold,
            "reasons": explainer.reasons(explainer.parts(raw)),
        }

    few = outcome.fold.splits.valid.sample(8, seed=0).features
    return {
        "serving_default": export.Signature(
            serve,
            tuple(
                tf.TensorSpec((None, *few.shape[1:-1]), tf.float32, name)
                for name in features
            ),
            tuple(few[..., index] for index in range(len(features))),
        )
    }


def run(config: Config) -> dict[str, Any]:
    """Trains, compresses, measures and releases; returns the report."""
    export.check(config.export_dir)
    found = load_data(config)
    splits = found.folds[-1].splits
    variants, refused = compression.plan(
        build_model(config, found.names, splits, config.model).network,
        names.parse(config.variants),
        config,
    )
    outcomes = [train(config, found.names, one) for one in found.folds]
    cluster.end_unless_chief()
    last, costs = outcomes[-1], config.costs()
    encode = detectors.transform(last.detector, config.model, config.corruption)
    finetuning = compression.Finetuning(splits.train, encode, config)
    twins = compression.compress(last.detector.network, variants, finetuning)
    explainer = explain.Explainer(last.detector)
    with export.release(config.export_dir, APP) as draft:
        serving = export.save(
            draft.directory,
            last.model,
            signatures(last, explainer, found.names),
            tracked=explainer.tracked,
        )
        rows = results.write_mobile(
            draft.directory / "mobile", last, twins, variants, found.names,
            costs, config,
        )  # fmt: skip
        results.write_history(draft.directory, found)
        result = report.build(
            APP, config, splits,
            task_metric="average_precision",
            metrics=results.summarize(outcomes, costs),
            log=last.log, variants=rows, refused=refused, serving=serving,
            baselines=baselines.measure(found, config.seed, config.top_cards)
            if config.baselines else (),
        )  # fmt: skip
        shown = results.draw(result, outcomes, costs, explainer)
        report.write(draft.directory / "report", result, shown)
    training.finish(*(path for one in outcomes for path in one.work_dirs))
    report.print_table(result, draft.path)
    return result


def main(config: Config) -> None:
    """Does what `--mode` says."""
    cluster.start(config)
    if config.mode == "train":
        run(config)
        return
    asked = served.connect(config, APP)
    scorer = predict.Scorer(asked)
    trained = evaluation.trained_with(asked)
    whole = evaluation.is_whole(config, trained)
    # Given ones choose their own threshold; the release has one for its own.
    alerts = config.alerts if options.is_given(config, "alerts") else None
    # A release is asked as it was trained: the same columns, the same weeks.
    config = options.as_trained(config, trained)
    if config.mode == "predict":
        predict.predict_file(
            scorer, config.inputs, config.output, config.columns(),
            config.on_bad_input == "skip", config.raw_output,
        )  # fmt: skip
        return
    found = load_data(config, scorer if whole else None)
    result = predict.evaluate(scorer, found, config.costs(), alerts)
    runtime.console().print(strict_json.dumps(result))


if __name__ == "__main__":
    options.launch(main, Config)
