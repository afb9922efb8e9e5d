"""Medical-image autoencoder, from normal images to a heat map and a server.

It learns what normal images look like and marks what departs from them; or it
removes noise (--model=denoiser --noise=gaussian). Data: TFDS image sets with a
normal class, folders of PNG, JPEG, TIFF and DICOM files, or the embedded,
synthetic `phantoms`. Result: a release with a SavedModel, TFLite files and a
report. No medical device. On pneumonia_mnist: test AUROC .949 (three seeds).

  python -m apps.medical_autoencoder --flagfile=apps/flagfiles/NAME.flags
  python -m apps.medical_autoencoder --mode=predict --inputs=x.dcm --overlays=y/
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

    from apps.medical_autoencoder import (
        baselines,
        panels,
        pictures,
        predict,
        results,
        scores,
        similarity,
    )
    from apps.medical_autoencoder import data as sources
    from apps.medical_autoencoder import model as networks
    from common import (
        compression,
        data,
        evaluation,
        export,
        report,
        served,
        training,
    )

APP = "medical_autoencoder"


@dataclasses.dataclass(frozen=True)
class Config(options.ImageOptions):
    """Options of this app."""

    dataset: str = option(
        "",
        "a TFDS name, a folder of normal/ and abnormal/; or phantoms.",
        data=True,
    )
    normal_label: str = option(
        "",
        "the class or folder of normal images; by default normal.",
        data=True,
    )
    patients: str = option(
        "",
        "folders: a table of file and patient, where DICOM does not say.",
        data=True,
    )
    image_size: int = option(
        0,
        "height and width to resize to; 0 keeps a common size.",
        minimum=0,
        maximum=16_384,
        data=True,
    )
    window: tuple[str, ...] = option(
        (),
        "DICOM: centre,width of the grey scale; by default the file's.",
        data=True,
    )
    on_bad_input: str = option(
        "fail",
        "what to do with unreadable files.",
        choices=("fail", "skip"),
        data=True,
    )
    model: str = option(
        "autoencoder", "the network.",
        choices=("autoencoder", "variational", "denoiser"), data=True,
    )  # fmt: skip
    latent: int = option(
        16, "numbers in the bottleneck.", minimum=1, maximum=65_536
    )
    filters: int = option(
        16, "of the first convolutions.", minimum=1, maximum=4096
    )
    beta: float = option(
        1e-4, "variational: weight of the divergence.", minimum=0.0
    )
    noise: str = option(
        "none", "noise of training inputs; the denoiser is also judged on it.",
        choices=("none", "gaussian", "poisson", "speckle"), data=True,
    )  # fmt: skip
    noise_level: float = option(
        0.1, "its standard deviation, white being 1.", minimum=0.001,
        maximum=1.0, data=True,
    )  # fmt: skip
    flip: bool = option(False, "augmentation: mirror half of the images.")
    shift: float = option(
        0.0, "augmentation: move by whole pixels, at most this part of a side.",
        minimum=0.0, maximum=0.4,
    )  # fmt: skip
    loss: str = option(
        "ssim", "mse, mae, ssim, ms_ssim, or 0.84*ms_ssim+0.16*mae."
    )
    patience: int = option(
        0, "epochs without improvement before an early stop; 0: none.",
        minimum=0,
    )  # fmt: skip
    score: str = option(
        "auto", "the anomaly score; auto chooses on validation.",
        choices=("auto", "mse", "ssim", "ssim_scales", "ssim_z",
                 "ssim_relative", "latent", "combined"), training=False,
    )  # fmt: skip
    specificity: float = option(
        0.9, "part of normal validation images below the threshold.",
        minimum=0.0, maximum=1.0, training=False,
    )  # fmt: skip
    variant: str = option(
        "", "evaluate, predict: use this TFLite file, not the SavedModel.",
        training=False,
    )  # fmt: skip
    overlays: str = option(
        "", "predict: a folder for heat-map pictures.", training=False
    )

    def __post_init__(self) -> None:
        """Checks the options, and the variants' names before any work."""
        super().__post_init__()
        names.parse(self.variants)
        if self.model == "denoiser" and (
            self.noise == "none" or self.score != "auto"
        ):
            raise options.InputError(
                "--model=denoiser must have a --noise to remove, and has no "
                f"--score; received --noise={self.noise} --score={self.score}."
            )
        if not self.dataset and self.mode == "train":
            object.__setattr__(self, "dataset", "phantoms")


def load_data(
    config: Config, shape: tuple[int, ...] | None = None, whole: bool = False
) -> "data.Splits":
    """Loads float32 images in [0, 1].

    Args:
        config: The options.
        shape: What a release's model needs.
        whole: Have all of a folder judge that release.
    """
    return sources.load(config, shape, whole)


def build_model(config: Config, splits: "data.Splits") -> "keras.Model":
    """Builds the network for the images of `splits`."""
    shape = splits.train.feature_shape
    return networks.build(config.model, shape, config.latent, config.filters)


def compile_model(
    model: "keras.Model", config: Config, splits: "data.Splits"
) -> "keras.Model":
    """Returns the model to fit, which shares `model`'s layers, compiled."""
    # A copy that shares all: `model.keras` then loads without this app's loss.
    fitted = keras.Model(model.input, model.output, name=model.name)
    if config.model == "variational":
        fitted = networks.variational(model, config.beta, config.seed)
    steps = data.num_steps(splits.train, config.batch_size)
    rate = training.learning_rate(config, "cosine", 0.05, steps)
    fitted.compile(
        keras.optimizers.Adam(rate),
        similarity.loss(config.loss),
        metrics=[similarity.ssim, similarity.psnr],
        steps_per_execution=min(16, steps),
        jit_compile=False,
    )
    return fitted


def evaluate(
    model: "keras.Model", split: "data.MemorySplit", config: Config
) -> "scores.Rebuilt":
    """Returns what `model` makes of a split."""
    whole = networks.with_latent(model)
    run = tf.function(whole, reduce_retracing=True)
    rows = []
    for inputs, targets in data.for_evaluation(
        split,
        training.EVALUATION_BATCH,
        transform=sources.for_evaluation(config),
    ).as_numpy_iterator():
        found = [one.numpy() for one in tf.nest.flatten(run(inputs))]
        rows.append((inputs, targets, *found))
    inputs, targets, reconstruction, *latent = (
        np.concatenate(column) for column in zip(*rows, strict=True)
    )
    bottleneck = latent[0] if latent else None
    return scores.Rebuilt(
        inputs, targets, reconstruction, bottleneck, split.labels
    )


def signatures(
    model: "keras.Model",
    splits: "data.Splits",
    detector: "scores.Detector",
    config: Config,
) -> dict[str, "export.Signature"]:
    """Returns what a client may send: encoded images, or pixels."""
    shape = splits.train.feature_shape
    whole = networks.with_latent(model)
    denoises = model.name == "denoiser"
    most = config.max_megapixels

    def pixels(image: Any) -> dict[str, Any]:
        found = tf.nest.flatten(whole(image, training=False))
        if denoises:
            return {"reconstruction": found[0]}
        heatmap, score = detector.head([image, *found])
        return {
            "anomaly_score": score,
            "is_anomalous": score >= scores.THRESHOLD,
            "reconstruction": found[0],
            "heatmap": heatmap,
        }

    def image_bytes(contents: Any) -> dict[str, Any]:
        return pixels(pictures.decode_batch(contents, shape, most))

    few = splits.valid.sample(8, seed=0).features
    encoded = np.array([pictures.encode(one) for one in few])
    return {
        "serving_default": export.Signature(
            image_bytes,
            (tf.TensorSpec((None,), tf.string, "image_bytes"),),
            (encoded,),
        ),
        "pixels": export.Signature(
            pixels,
            (tf.TensorSpec((None, *shape), tf.float32, "image"),),
            (few,),
        ),
    }


def run(config: Config) -> dict[str, Any]:
    """Trains, compresses, measures and releases; returns the report."""
    export.check(config.export_dir)
    splits = load_data(config)
    work_dir = config.run_dir(APP, splits.digest())
    with training.scope(config):
        model = build_model(config, splits)
        fitted = compile_model(model, config, splits)
    variants, refused = compression.plan(
        model, names.parse(config.variants), config
    )
    transform = sources.for_training(config)
    log = training.fit(
        fitted, sources.for_fitting(splits), config,
        work_dir=work_dir,
        transform=transform,
        evaluation_transform=sources.for_evaluation(config),
        monitor="val_loss",
        mode="min",
        patience=config.patience,
    )  # fmt: skip
    cluster.end_unless_chief()
    loss = similarity.loss(config.loss)
    twins = compression.compress(
        model,
        variants,
        compression.Finetuning(splits.train, transform, config, loss),
    )
    rebuilt = {
        name: evaluate(model, part, config)
        for name, part in sources.judged(splits, config).items()
    }
    detector = scores.fit(config.score, config.specificity, rebuilt)
    with export.release(config.export_dir, APP) as draft:
        serving = export.save(
            draft.directory, model, signatures(model, splits, detector, config),
            tracked=[detector.head],
        )  # fmt: skip
        rows = results.write_mobile(
            draft.directory / "mobile", twins, variants, detector, rebuilt,
            config,
        )  # fmt: skip
        result = report.build(
            APP, config, splits,
            task_metric=results.task_metric(config, rebuilt),
            metrics=results.summarize_all(rebuilt, detector, config),
            log=log, variants=rows, refused=refused, serving=serving,
            baselines=baselines.measure(rebuilt, config),
        )  # fmt: skip
        result["score"] = detector.describe()
        shown = panels.draw(result, detector, rebuilt["test"])
        report.write(draft.directory / "report", result, shown)
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
    released = predict.Released(asked, config.variant)
    trained = evaluation.trained_with(asked)
    whole = evaluation.is_whole(config, trained)
    # The same seed gives a folder the same split: nobody that was trained on
    # is tested.
    config = options.as_trained(config, trained)
    if config.mode == "predict":
        predict.predict_files(released, config)
        return
    splits = load_data(config, released.shape, whole)
    result = predict.evaluate(released, splits, config)
    runtime.console().print(strict_json.dumps(result))


if __name__ == "__main__":
    options.launch(main, Config)
