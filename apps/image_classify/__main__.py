"""Image classification, from images to a phone and a server.

Data: any TFDS image set by name, a folder of class folders, or the embedded
`digits`. Model: --model. Result: a release with a SavedModel, TFLite files and
a report. MNIST: accuracy .9968 (small_cnn), .9909 (lenet5, three seeds).

  python -m apps.image_classify --flagfile=apps/flagfiles/NAME.flags
  python -m apps.image_classify --mode=predict --inputs='photos/*.png'
"""

import dataclasses
from typing import Any

import numpy as np
from etils import epy

from common import cluster, runtime, strict_json
from common import config as options
from common.compression import variants as names
from common.config import option

with epy.lazy_imports():
    import keras
    import tensorflow as tf

    from apps.image_classify import augment, predict, results
    from apps.image_classify import model as networks
    from common import (
        compression,
        data,
        evaluation,
        export,
        images,
        metrics,
        report,
        served,
        training,
    )

APP = "image_classify"


@dataclasses.dataclass(frozen=True)
class Config(options.ImageOptions):
    """Options of this app."""

    dataset: str = option(
        "",
        "a TFDS name, a folder of class folders; by default digits.",
        data=True,
    )
    model: str = option(
        "small_cnn",
        "the network.",
        choices=(
            "lenet5",
            "small_cnn",
            "resnet8",
            "resnet20",
            "mobilenet_v2",
            "mobilenet_v3_small",
            "efficientnet_v2_b0",
        ),
    )
    weights: str = option("none", "none, imagenet, or a .weights.h5 file.")
    image_size: int = option(
        0,
        "height and width to resize to; 0 keeps a common size.",
        minimum=0,
        maximum=16_384,
        data=True,
    )
    pipeline: str = option(
        "auto",
        "where training images are kept.",
        choices=("auto", "in_memory", "streaming"),
    )
    on_bad_input: str = option(
        "fail",
        "what to do with undecodable images.",
        choices=("fail", "skip"),
        data=True,
    )
    flip: bool = option(False, "augmentation: mirror half of the images.")
    shift: float = option(
        0.08, "augmentation: part of the side.", minimum=0.0, maximum=0.5
    )
    rotation: float = option(
        8.0, "augmentation: degrees.", minimum=0.0, maximum=180.0
    )
    crop: float = option(
        0.1, "augmentation: part of the size.", minimum=0.0, maximum=0.5
    )
    mixup: float = option(0.0, "augmentation: alpha of mixup.", minimum=0.0)
    label_smoothing: float = option(
        0.0, "part of a label given to all classes.", minimum=0.0, maximum=0.5
    )
    dropout: float = option(
        0.3, "part of the last features dropped.", minimum=0.0, maximum=0.9
    )
    weight_decay: float = option(
        1e-4, "AdamW's decay of kernels; 0 for Adam.", minimum=0.0
    )
    schedule: str = option(
        "cosine",
        "how the learning rate falls.",
        choices=("constant", "cosine", "plateau"),
    )
    warmup: float = option(
        0.1, "part of the steps in which it rises.", minimum=0.0, maximum=0.9
    )
    patience: int = option(
        0, "epochs without improvement before an early stop; 0: none.",
        minimum=0,
    )  # fmt: skip
    variant: str = option(
        "",
        "evaluate, predict: use this TFLite file, not the SavedModel.",
        training=False,
    )

    def __post_init__(self) -> None:
        """Checks the options, and the variants' names before any work."""
        super().__post_init__()
        names.parse(self.variants)
        if not self.dataset and self.mode == "train":
            object.__setattr__(self, "dataset", "digits")


def load_data(
    config: Config,
    shape: tuple[int, ...] | None = None,
    classes: tuple[str, ...] = (),
) -> "data.Splits":
    """Loads uint8 images and labels.

    Args:
        config: The options.
        shape: What a release's model needs.
        classes: Those of a release that all of a folder judges.
    """
    return images.load(
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
    )


def build_model(config: Config, splits: "data.Splits") -> "keras.Model":
    """Builds the network for the images and classes of `splits`."""
    return networks.build(
        config.model,
        splits.train.feature_shape,
        len(splits.class_names),
        dropout=config.dropout,
        weights=config.weights,
    )


def compile_model(
    model: "keras.Model", config: Config, splits: "data.Splits"
) -> "keras.Model":
    """Compiles `model` with AdamW and cross-entropy."""
    steps = data.num_steps(splits.train, config.batch_size)
    # With weight decay this is AdamW; decay of zero would still cost its steps.
    optimizer = keras.optimizers.Adam(
        training.learning_rate(config, config.schedule, config.warmup, steps),
        weight_decay=config.weight_decay or None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(
            label_smoothing=config.label_smoothing
        ),
        metrics=["accuracy"],
        # Measured on MNIST and 2 cores: 1.4 times as fast as 1; XLA is slower.
        steps_per_execution=16,
        jit_compile=False,
    )
    return model


def evaluate(
    model: "keras.Model", split: "data.Split", num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities `(num, classes)` and labels `(num,)`."""
    run = tf.function(
        lambda batch: model(batch, training=False), reduce_retracing=True
    )
    found, labels = [], []
    for inputs, targets in augment.batches(split, num_classes):
        found.append(run(inputs).numpy())
        labels.append(targets)
    return np.concatenate(found), np.argmax(np.concatenate(labels), axis=1)


def signatures(
    model: "keras.Model", splits: "data.Splits", config: Config
) -> dict[str, "export.Signature"]:
    """Returns what a client may send: encoded images, or pixels."""
    height, width, channels = splits.train.feature_shape
    names = tf.constant(splits.class_names)

    def pixels(image: Any) -> dict[str, Any]:
        scaled = tf.cast(image, tf.float32) / 255.0
        probabilities = model(scaled, training=False)
        label_id = tf.argmax(probabilities, axis=1)
        return {
            "label": tf.gather(names, label_id),
            "label_id": label_id,
            "probabilities": probabilities,
        }

    def image_bytes(contents: Any) -> dict[str, Any]:
        def decode(content: Any) -> Any:
            image = images.decode(content, channels, config.max_megapixels)
            return images.fit(image, (height, width))

        spec = tf.TensorSpec((height, width, channels), tf.uint8)
        return pixels(tf.map_fn(decode, contents, fn_output_signature=spec))

    few = splits.valid.sample(8, seed=0).features
    encoded = np.array([tf.io.encode_png(one).numpy() for one in few])
    return {
        "serving_default": export.Signature(
            image_bytes,
            (tf.TensorSpec((None,), tf.string, "image_bytes"),),
            (encoded,),
        ),
        "pixels": export.Signature(
            pixels,
            (tf.TensorSpec((None, *few.shape[1:]), tf.uint8, "image"),),
            (few,),
        ),
    }


def run(config: Config) -> dict[str, Any]:
    """Trains, compresses, measures and releases; returns the report."""
    export.check(config.export_dir)
    splits = load_data(config)
    work_dir = config.run_dir(APP, splits.digest())
    num_classes = len(splits.class_names)
    with training.scope(config):
        model = compile_model(build_model(config, splits), config, splits)
    variants, refused = compression.plan(
        model, names.parse(config.variants), config
    )
    fields = {one.name for one in dataclasses.fields(augment.Augmentation)}
    augmentation = augment.Augmentation(
        **{name: getattr(config, name) for name in fields}
    )
    transform = augment.for_training(num_classes, augmentation)
    log = training.fit(
        model, splits, config,
        work_dir=work_dir,
        transform=transform,
        evaluation_transform=augment.for_evaluation(num_classes),
        monitor="val_accuracy",
        patience=config.patience,
        plateau=config.schedule == "plateau",
    )  # fmt: skip
    cluster.end_unless_chief()
    twins = compression.compress(
        model, variants, compression.Finetuning(splits.train, transform, config)
    )
    measured = {
        name: evaluate(model, getattr(splits, name), num_classes)
        for name in ("valid", "test")
    }
    with export.release(config.export_dir, APP) as draft:
        serving = export.save(
            draft.directory, model, signatures(model, splits, config)
        )
        rows = results.write_mobile(
            draft.directory / "mobile", twins, variants, splits, config,
            reference=measured["test"][0],
        )  # fmt: skip
        result = report.build(
            APP, config, splits,
            task_metric="accuracy",
            metrics=results.summarize(measured, splits.class_names),
            log=log, variants=rows, refused=refused, serving=serving,
            baselines=[
                metrics.most_frequent(
                    measured["valid"][1], measured["test"][1]
                )
            ],
        )  # fmt: skip
        pictures = results.draw(result, splits, measured["test"])
        report.write(draft.directory / "report", result, pictures)
    training.finish(work_dir)
    report.print_table(result, draft.path)
    return result


def main(config: Config) -> None:
    """Does what `--mode` says."""
    cluster.start(config)
    if config.mode == "train":
        run(config)
        return
    asked = served.connect(config, APP)
    classifier = predict.Classifier(asked, config.variant)
    trained = evaluation.trained_with(asked)
    whole = evaluation.is_whole(config, trained)
    # The same seed gives a folder the same split: no training image is tested.
    config = options.as_trained(config, trained)
    if config.mode == "predict":
        predict.predict_files(classifier, config)
        return
    classes = classifier.class_names if whole else ()
    splits = load_data(config, classifier.shape, classes)
    result = predict.evaluate(classifier, splits)
    runtime.console().print(strict_json.dumps(result))


if __name__ == "__main__":
    options.launch(main, Config)
