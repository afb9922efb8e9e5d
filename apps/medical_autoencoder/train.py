"""The steps of the medical-image autoencoder, from data to a release."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common import variants
from common.compression import chain
from common.compression.finetuning import Finetuning
from common.data import pipelines
from common.data.splits import MemorySplit, Splits
from common.release import export, publishing
from common.training import fitting, inference
from common.workers import cluster

from . import (
    baselines,
    panels,
    pictures,
    results,
    scores,
    similarity,
    subject,
)
from . import data as sources
from . import model as networks
from .config import APP, Config


def load_data(
    config: Config,
    shape: tuple[int, ...] | None = None,
    judge_all: bool = False,
) -> Splits:
    """Loads float32 images in [0, 1].

    Args:
        config: The options.
        shape: Height, width and channels that a release's model needs; None
            for the shape of the data.
        judge_all: Whether all images of a folder are for judging that release
            and none for training.
    """
    return sources.load(config, shape, judge_all)


def build_model(config: Config, splits: Splits) -> keras.Model:
    """Builds the network for the images of `splits`."""
    shape = splits.train.feature_shape
    return networks.build(config.model, shape, config.latent, config.filters)


def compile_model(
    model: keras.Model, config: Config, splits: Splits
) -> keras.Model:
    """Returns a compiled model, to be fitted, that shares `model`'s layers."""
    # `model` itself is not compiled: `model.keras` then loads without the loss
    # of this app.
    fitted = keras.Model(model.input, model.output, name=model.name)
    if config.model == "variational":
        fitted = networks.variational(model, config.beta, config.seed)
    steps = pipelines.num_steps(splits.train, config.batch_size)
    rate = fitting.learning_rate(config, "cosine", 0.05, steps)
    fitted.compile(
        keras.optimizers.Adam(rate),
        similarity.loss(config.loss),
        metrics=[similarity.ssim, similarity.psnr],
        steps_per_execution=min(16, steps),
        jit_compile=False,
    )
    return fitted


def evaluate(
    model: keras.Model, split: MemorySplit, config: Config
) -> scores.Rebuilt:
    """Returns a split and its reconstructions by `model`."""
    batches = inference.batches(split, sources.for_evaluation(config))
    outputs, (inputs, targets) = inference.outputs(
        networks.with_latent(model),
        ((inputs, (inputs, targets)) for inputs, targets in batches),
    )
    reconstruction, *latent = tf.nest.flatten(outputs)
    bottleneck = latent[0] if latent else None
    return scores.Rebuilt(
        inputs, targets, reconstruction, bottleneck, split.labels,
        getattr(split, "masks", None),
    )  # fmt: skip


def signatures(
    model: keras.Model,
    splits: Splits,
    detector: scores.Detector,
    config: Config,
) -> dict[str, export.Signature]:
    """Returns the signatures, of encoded images and of pixels, by name."""
    shape = splits.train.feature_shape
    network = networks.with_latent(model)
    denoises = model.name == "denoiser"
    max_megapixels = config.max_megapixels

    def pixels(image: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = tf.nest.flatten(network(image, training=False))
        if denoises:
            return {"reconstruction": outputs[0]}
        heatmap, score = detector.head([image, *outputs])
        return {
            "anomaly_score": score,
            "is_anomalous": score >= scores.THRESHOLD,
            "reconstruction": outputs[0],
            "heatmap": heatmap,
        }

    def image_bytes(contents: tf.Tensor) -> dict[str, tf.Tensor]:
        return pixels(pictures.decode_batch(contents, shape, max_megapixels))

    examples = splits.valid.sample(8, seed=0).features
    encoded = np.array([pictures.encode(image) for image in examples])
    return {
        "serving_default": export.Signature(
            image_bytes,
            (tf.TensorSpec((None,), tf.string, "image_bytes"),),
            (encoded,),
        ),
        "pixels": export.Signature(
            pixels,
            (tf.TensorSpec((None, *shape), tf.float32, "image"),),
            (examples,),
        ),
    }


def run(config: Config) -> dict[str, Any]:
    """Trains, compresses, measures and releases; returns the report."""
    export.check(config.export_dir)
    splits = load_data(config)
    work_dir = config.run_dir(APP, splits.digest())
    with fitting.scope(config):
        model = build_model(config, splits)
        fitted = compile_model(model, config, splits)
    plan = chain.plan(model, variants.parse(config.variants), config)
    transform = sources.for_training(config)
    splits.announce()
    log = fitting.fit(
        fitted, sources.for_fitting(splits), config,
        work_dir=work_dir,
        transform=transform,
        evaluation_transform=sources.for_evaluation(config),
        monitor="val_loss",
        mode="min",
    )  # fmt: skip
    cluster.end_unless_chief()
    loss = similarity.loss(config.loss)
    twins = chain.compress(
        model,
        plan.variants,
        Finetuning(splits.train, transform, config, loss),
    )
    rebuilt = {
        name: evaluate(model, part, config)
        for name, part in sources.judged(splits, config).items()
    }
    detector = scores.fit(config.score, config.specificity, rebuilt)
    return publishing.publish(
        APP, config, splits, model,
        subject=subject.of(config),
        signatures=signatures(model, splits, detector, config),
        tracked=[detector.head],
        write_mobile=lambda directory: results.write_mobile(
            directory, twins, plan, detector, rebuilt, config
        ),
        task_metric=results.task_metric(config, rebuilt),
        metrics=results.summarize_all(rebuilt, detector, config),
        draw=lambda report: panels.draw(report, detector, rebuilt["test"]),
        log=log, refused=plan.refused, work_dirs=[work_dir],
        ranks=chain.ranks(twins),
        baselines=baselines.measure(rebuilt, config),
    )  # fmt: skip
