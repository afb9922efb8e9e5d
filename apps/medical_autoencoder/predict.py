"""Use of a release: heat maps of files, evaluation on a data set."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import console
from common.console import track
from common.data import folders
from common.data.splits import Splits
from common.mobile import files, litert, thresholds
from common.options import InputError
from common.release import evaluation, predictions, served
from common.training import fitting

from . import data, folder, layout, panels, pictures, results, train
from .config import APP, Config
from .dicom import NoImageError
from .scores import THRESHOLD, Rebuilt

KINDS = "images, DICOM or NIfTI files"


def run(config: Config) -> None:
    """Predicts or evaluates with a release, as `--mode` says."""
    use = evaluation.use(config, APP)
    released = Released(use.served, config.variant)
    if config.mode == "predict":
        predict_files(released, use.config)
        return
    splits = train.load_data(use.config, released.shape, bool(use.whole))
    evaluation.show(evaluate(released, splits, use.config))


class Released:
    """A released model: the SavedModel, or one of the TFLite files.

    Attributes:
        shape: Height, width and channels of the model's image.
        threshold: An image is anomalous if its score is at least this.
    """

    def __init__(self, model: served.Served, variant: str = "") -> None:
        """Opens the SavedModel or a TFLite file.

        Args:
            model: The release's SavedModel, in this process or on a server.
            variant: The name of the TFLite file to use instead, if any.
        """
        self._served = model
        if model.has_files:
            _facts(model.release)  # Refuses a release of another app.
        self.shape = tuple(model.inputs("pixels")["image"].shape[1:])
        self._runner, self.threshold = None, THRESHOLD
        if variant:
            file = files.variant(model.release, variant)
            self._runner = litert.Runner(file.read_bytes())
            self.threshold = thresholds.read(file, THRESHOLD)

    @property
    def facts(self) -> dict[str, Any]:
        """The content of `detector.json`, such as `usual_heat`."""
        return _facts(self._served.release)

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs for images, by name.

        Args:
            image: `(num, *shape) float32` in [0, 1].

        Returns:
            `reconstruction`, `(num, *shape) float32`. Unless the model is a
            denoiser also `heatmap`, `(num, height, width, 1) float32`,
            `anomaly_score`, `(num,) float32`, and `is_anomalous`, `(num,)
            bool`.
        """
        if not self._runner:
            return self._served("pixels", image=image)
        outputs = self._runner(image=image)
        if "anomaly_score" in outputs:  # A denoiser has no such output.
            outputs["is_anomalous"] = outputs["anomaly_score"] >= self.threshold
        return outputs


def _facts(release: Path) -> dict[str, Any]:
    """Returns the content of a release's `detector.json`."""
    return files.read_json(release / "mobile" / results.DETECTOR, APP)


def evaluate(
    released: Released, splits: Splits, config: Config
) -> dict[str, Any]:
    """Returns the metrics on the test split; see `evaluation.describe`.

    Args:
        released: The model to judge.
        splits: Images in memory; `test` may hold all images of the data set.
        config: Gives the noise that a denoiser is judged on.
    """
    transform = data.for_evaluation(config)
    images: dict[str, list] = {"inputs": [], "targets": []}
    outputs: dict[str, list] = {}
    test: Any = splits.test
    # A denoiser's noise depends on the batch: batches are those of training.
    for start in range(0, test.num_examples, fitting.EVALUATION_BATCH):
        batch = test.features[start : start + fitting.EVALUATION_BATCH]
        inputs, targets = transform(batch, None)
        images["inputs"].append(np.asarray(inputs))
        images["targets"].append(np.asarray(targets))
        for name, value in released(np.asarray(inputs)).items():
            outputs.setdefault(name, []).append(value)
    joined = {k: np.concatenate(v) for k, v in {**images, **outputs}.items()}
    rebuilt = Rebuilt(
        joined["inputs"], joined["targets"], joined["reconstruction"], None,
        test.labels, getattr(test, "masks", None),
    )  # fmt: skip
    denoises = "anomaly_score" not in joined
    scores = joined.get("anomaly_score", np.zeros(test.num_examples))
    return evaluation.describe(
        splits.name,
        test.num_examples,
        splits.judged,
        results.summarize(
            rebuilt,
            scores,
            denoises,
            released.threshold,
            joined.get("heatmap"),
        ),
        {} if denoises else results.unknown(rebuilt.labels),
        splits.notes,
    )


def predict_files(released: Released, config: Config) -> None:
    """Prints the score of each picture; writes a table and overlays.

    Args:
        released: The model.
        config: Gives `inputs`, `output`, `overlays` and how to read files.
    """
    predictions.check_output(config.output)
    folder = folders.make(config.overlays, "overlays")
    rows = (case.row for case in cases(released, config, folder))
    predictions.show(rows, config.output, config.raw_output)
    console.get().print(
        "Research software, no medical device: not for decisions about "
        "patients."
    )


@dataclasses.dataclass(frozen=True)
class Case:
    """A picture and what the model says of it.

    Attributes:
        row: The row of the table.
        fitted: The picture as the model takes it, `(*shape) float32`.
        outputs: The model's outputs by name, without the batch axis.
    """

    row: dict[str, Any]
    fitted: np.ndarray
    outputs: dict[str, np.ndarray]


def cases(
    released: Released, config: Config, overlays: Path | None
) -> Iterator[Case]:
    """Yields each picture's case, and writes its overlay.

    Args:
        released: The model.
        config: Gives `inputs` and how to read files.
        overlays: The folder of the overlays, if any.
    """
    for num, (name, image) in enumerate(_frames(released, config)):
        fitted = np.asarray(pictures.fit(image, released.shape))
        outputs = {k: v[0] for k, v in released(fitted[None]).items()}
        row: dict[str, Any] = {"file": name}
        if "anomaly_score" in outputs:
            row["anomaly_score"] = round(float(outputs["anomaly_score"]), 6)
            row["is_anomalous"] = bool(outputs["is_anomalous"])
        if overlays:
            stem = Path(name).name.replace("#", "-")
            path = overlays / f"{num:04d}-{stem}.png"
            picture = _picture(released, image, outputs)
            path.write_bytes(pictures.encode(picture))
            row["overlay"] = str(path)
        yield Case(row, fitted, outputs)


def _frames(
    released: Released, config: Config
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the name and the image of each frame of the readable files."""
    paths = folders.inputs(config.inputs, pictures.is_picture, KINDS)
    masks = {str(path) for path in layout.images_of(map(Path, paths))[1]}
    window = folder.window(config.window)
    skipped, num = [f"skipped {path}: it is a mask" for path in masks], 0
    for path in track(paths, "predicting", len(paths)):
        if str(Path(path)) in masks:
            continue
        try:
            scan = pictures.read(
                Path(path), "", window, config.max_megapixels, config.plane
            )
        except NoImageError as error:
            skipped.append(f"skipped {path}: {error}")
            continue
        except pictures.UnreadableError as error:
            if config.on_bad_input == "fail":
                raise InputError(
                    f"--inputs must be readable images; {path}: {error}. "
                    "Remove it, or pass --on_bad_input=skip."
                ) from None
            skipped.append(f"skipped {path}: {error}")
            continue
        for index, frame in enumerate(scan.frames):
            num += 1
            is_series = len(scan.frames) > 1
            yield f"{path}#{index + 1}" if is_series else path, frame
    if not num:
        raise InputError(
            f"--inputs has no picture that can be read: {config.inputs}; "
            f"{skipped[0]}."
        )
    for line in skipped:
        console.get().print(line)


def _picture(
    released: Released, image: np.ndarray, outputs: dict[str, np.ndarray]
) -> np.ndarray:
    """Returns the overlay, in the size of `image`, or the denoised image."""
    if "heatmap" not in outputs:
        return outputs["reconstruction"]
    size = image.shape[:2]
    heat = tf.image.resize(outputs["heatmap"], size).numpy()
    return panels.overlay(image, heat, released.facts["usual_heat"])
