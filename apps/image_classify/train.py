"""The steps of image classification, from data to a release."""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common import variants
from common.compression import chain
from common.compression.finetuning import Finetuning
from common.data import image_labels, image_sets, images, pipelines
from common.data.splits import Split, Splits
from common.release import export, publishing, teachers
from common.report import metrics
from common.training import distillation, fitting, inference
from common.workers import cluster

from . import augment, results, subject
from . import model as networks
from .config import APP, COLUMNS, Config


def load_data(
    config: Config,
    shape: tuple[int, ...] | None = None,
    classes: tuple[str, ...] = (),
) -> Splits:
    """Loads uint8 images and labels.

    Args:
        config: The options.
        shape: Height, width and channels that a release's model needs; None
            for the shape of the data.
        classes: The classes of a release that all images of a folder judge; ()
            if the images are split.
    """
    return image_sets.load(
        config.dataset,
        data_dir=config.data_dir,
        image_size=config.image_size,
        usual_size=networks.usual_size(config.model),
        pipeline=config.pipeline,
        seed=config.seed,
        skip_bad=config.on_bad_input == "skip",
        shape=shape,
        classes=classes,
        max_megapixels=config.max_megapixels,
        labels=image_labels.Source(
            config.labels, *(getattr(config, name) for name in COLUMNS)
        )
        if config.labels
        else None,
        background=config.background,
    )


def build_model(config: Config, splits: Splits) -> keras.Model:
    """Builds the network for the images and classes of `splits`."""
    return networks.build(
        config.model,
        splits.train.feature_shape,
        len(splits.class_names),
        dropout=config.dropout,
        weights=config.weights,
        width=config.width,
    )


def compile_model(
    model: keras.Model, config: Config, splits: Splits
) -> keras.Model:
    """Compiles `model` with AdamW and cross-entropy."""
    steps = pipelines.num_steps(splits.train, config.batch_size)
    # With weight decay this is AdamW. A decay of zero is passed as None: Keras
    # would compute it in each step.
    optimizer = keras.optimizers.Adam(
        fitting.learning_rate(config, config.schedule, config.warmup, steps),
        weight_decay=config.weight_decay or None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(
            label_smoothing=config.label_smoothing
        ),
        metrics=["accuracy"],
        # Measured on MNIST with 2 cores: 16 steps per execution are 1.4 times
        # as fast as 1, and XLA is slower.
        steps_per_execution=16,
        jit_compile=False,
    )
    return model


def evaluate(model: keras.Model, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Returns the probabilities, `(num, classes)`, and the labels, `(num,)`."""
    return inference.outputs(model, augment.batches(split))


def load_teacher(
    config: Config, splits: Splits, student: keras.Model
) -> distillation.Teacher | None:
    """Returns the network of `--teacher`, if there is one.

    Raises:
        InputError: If its classes or its images are not those of the student.
    """
    if not config.teacher:
        return None
    release = teachers.load(config, APP)
    path, network = release.path, release.network
    release.check_classes(splits.class_names)
    distillation.check(network, student, str(path))
    return distillation.Teacher.of(
        network,
        config,
        metrics={
            "accuracy": metrics.accuracy(*evaluate(network, splits.valid))
        },
        notes=release.notes(config, splits),
    )


def signatures(
    model: keras.Model, splits: Splits, config: Config
) -> dict[str, export.Signature]:
    """Returns the signatures, of encoded images and of pixels, by name."""
    height, width, channels = splits.train.feature_shape
    names = tf.constant(splits.class_names)

    def pixels(image: tf.Tensor) -> dict[str, tf.Tensor]:
        scaled = tf.cast(image, tf.float32) / 255.0
        probabilities = model(scaled, training=False)
        label_id = tf.argmax(probabilities, axis=1)
        return {
            "label": tf.gather(names, label_id),
            "label_id": label_id,
            "probabilities": probabilities,
        }

    def image_bytes(contents: tf.Tensor) -> dict[str, tf.Tensor]:
        def decode(content: tf.Tensor) -> tf.Tensor:
            image = images.decode(
                content, channels, config.max_megapixels, config.background
            )
            return images.fit(image, (height, width))

        spec = tf.TensorSpec((height, width, channels), tf.uint8)
        return pixels(tf.map_fn(decode, contents, fn_output_signature=spec))

    examples = splits.valid.sample(8, seed=0).features
    encoded = np.array([tf.io.encode_png(image).numpy() for image in examples])
    return {
        "serving_default": export.Signature(
            image_bytes,
            (tf.TensorSpec((None,), tf.string, "image_bytes"),),
            (encoded,),
        ),
        "pixels": export.Signature(
            pixels,
            (tf.TensorSpec((None, *examples.shape[1:]), tf.uint8, "image"),),
            (examples,),
        ),
    }


def run(config: Config) -> dict[str, Any]:
    """Trains, compresses, measures and releases; returns the report."""
    export.check(config.export_dir)
    splits = load_data(config)
    num_classes = len(splits.class_names)
    with fitting.scope(config):
        model = compile_model(build_model(config, splits), config, splits)
    plan = chain.plan(model, variants.parse(config.variants), config)
    augmentation = augment.Augmentation(
        **{
            field.name: getattr(config, field.name)
            for field in dataclasses.fields(augment.Augmentation)
        }
    )
    transform = augment.for_training(num_classes, augmentation)
    splits.announce()
    teacher = load_teacher(config, splits, model)
    work_dir = config.run_dir(APP, splits.digest(), teacher and teacher.digest)
    log = fitting.fit(
        model, splits, config,
        work_dir=work_dir,
        transform=transform,
        evaluation_transform=augment.for_evaluation(num_classes),
        monitor="val_accuracy",
        plateau=config.schedule == "plateau",
        teacher=teacher,
    )  # fmt: skip
    cluster.end_unless_chief()
    twins = chain.compress(
        model, plan.variants, Finetuning(splits.train, transform, config)
    )
    measured = {
        name: evaluate(model, getattr(splits, name))
        for name in ("valid", "test")
    }
    return publishing.publish(
        APP, config, splits, model,
        subject=subject.of(config, splits),
        signatures=signatures(model, splits, config),
        write_mobile=lambda directory: results.write_mobile(
            directory, twins, plan, splits, config, measured["test"][0]
        ),
        task_metric="accuracy",
        metrics=results.summarize(measured, splits.class_names),
        draw=lambda report: results.draw(report, splits, measured["test"]),
        log=log, refused=plan.refused, work_dirs=[work_dir], teacher=teacher,
        ranks=chain.ranks(twins),
        baselines=[
            metrics.most_frequent(measured["valid"][1], measured["test"][1])
        ],
    )  # fmt: skip
