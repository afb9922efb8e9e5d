"""Using a release: heat maps of files, evaluation on a data set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import console
from common.console import track
from common.data import folders
from common.mobile import files, litert, thresholds
from common.options import InputError
from common.release import evaluation, predictions, served
from common.training import fitting

from . import data, folder, panels, pictures, results, train
from .config import APP, Config
from .scores import THRESHOLD, Rebuilt

KINDS = "PNG, JPEG, TIFF or DICOM files"


def run(config: Config) -> None:
    """Predicts, or evaluates, with a release."""
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
        threshold: From this score on an image is anomalous.
    """

    def __init__(self, asked: served.Served, variant: str = "") -> None:
        self._served = asked
        if asked.has_files:
            _facts(asked.release)  # Refuses a release of another app.
        self.shape = tuple(asked.inputs("pixels")["image"].shape[1:])
        self._runner, self.threshold = None, THRESHOLD
        if variant:
            file = files.variant(asked.release, variant)
            self._runner = litert.Runner(file.read_bytes())
            self.threshold = thresholds.read(file, THRESHOLD)

    @property
    def facts(self) -> dict[str, Any]:
        """What `detector.json` says: model, usual heat, window."""
        return _facts(self._served.release)

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs for float images `(num, *shape)` in [0, 1]."""
        if not self._runner:
            return self._served("pixels", image=image)
        found = self._runner(image=image)
        if "anomaly_score" in found:  # A denoiser has none.
            found["is_anomalous"] = found["anomaly_score"] >= self.threshold
        return found


def _facts(release: Path) -> dict[str, Any]:
    """Returns what `detector.json` of a release says."""
    return files.read_json(release / "mobile" / results.DETECTOR, APP)


def evaluate(released: Released, found: Any, config: Config) -> dict[str, Any]:
    """Returns the metrics on the test split, which may be all."""
    transform = data.for_evaluation(config)
    rows: dict[str, list] = {"inputs": [], "targets": []}
    outputs: dict[str, list] = {}
    images = found.test.features
    # In the batches of training, which the noise of a denoiser hangs on.
    for start in range(0, len(images), fitting.EVALUATION_BATCH):
        part = images[start : start + fitting.EVALUATION_BATCH]
        inputs, targets = transform(part, None)
        rows["inputs"].append(np.asarray(inputs))
        rows["targets"].append(np.asarray(targets))
        for name, value in released(np.asarray(inputs)).items():
            outputs.setdefault(name, []).append(value)
    joined = {k: np.concatenate(v) for k, v in {**rows, **outputs}.items()}
    rebuilt = Rebuilt(
        joined["inputs"], joined["targets"], joined["reconstruction"], None,
        found.test.labels,
    )  # fmt: skip
    denoises = "anomaly_score" not in joined
    scores = joined.get("anomaly_score", np.zeros(len(images)))
    return evaluation.describe(
        found.name,
        found.test.num_examples,
        found.judged,
        results.summarize(rebuilt, scores, denoises, released.threshold),
        {} if denoises else results.unknown(rebuilt.labels),
        found.notes,
    )


def predict_files(released: Released, config: Config) -> None:
    """Prints score and verdict of each picture; writes table and overlays."""
    predictions.check_output(config.output)
    rows = _rows(released, config, _folder(config.overlays))
    predictions.show(rows, config.output, config.raw_output)
    console.get().print(
        "Research software, no medical device: not for decisions about "
        "patients."
    )


def _rows(
    released: Released, config: Config, place: Path | None
) -> Iterator[dict[str, Any]]:
    """Yields what is said of each picture, and writes its overlay."""
    for num, (name, image) in enumerate(_frames(released, config)):
        fitted = np.asarray(pictures.fit(image, released.shape))
        found = {k: v[0] for k, v in released(fitted[None]).items()}
        row: dict[str, Any] = {"file": name}
        if "anomaly_score" in found:
            row["anomaly_score"] = round(float(found["anomaly_score"]), 6)
            row["is_anomalous"] = bool(found["is_anomalous"])
        if place:
            stem = Path(name).name.replace("#", "-")
            target = place / f"{num:04d}-{stem}.png"
            picture = _picture(released, image, found)
            target.write_bytes(pictures.encode(picture))
            row["overlay"] = str(target)
        yield row


def _folder(overlays: str) -> Path | None:
    """Makes the folder for overlays, if there is to be one."""
    if not overlays:
        return None
    try:
        Path(overlays).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--overlays must be a folder that can be written; received "
            f"{overlays!r}: {error.strerror}."
        ) from None
    return Path(overlays)


def _frames(
    released: Released, config: Config
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields names and frames of the files that can be read."""
    paths = folders.inputs(config.inputs, pictures.is_picture, KINDS)
    window = folder.window(config.window)
    skipped, num = [], 0
    for path in track(paths, "predicting", len(paths)):
        try:
            scan = pictures.read(Path(path), "", window, config.max_megapixels)
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
            many = len(scan.frames) > 1
            yield f"{path}#{index + 1}" if many else path, frame
    if not num:
        raise InputError(
            f"--inputs has no picture that can be read: {config.inputs}"
        )
    for line in skipped:
        console.get().print(line)


def _picture(
    released: Released, image: np.ndarray, found: dict[str, np.ndarray]
) -> np.ndarray:
    """Returns the overlay, in the size of the file; or the denoised image."""
    if "heatmap" not in found:
        return found["reconstruction"]
    size = image.shape[:2]
    heat = tf.image.resize(found["heatmap"], size).numpy()
    return panels.overlay(image, heat, released.facts["usual_heat"])
