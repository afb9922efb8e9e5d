"""A released detector as the teacher of a smaller one, such as one member."""

from pathlib import Path

import keras
import numpy as np
from sklearn import metrics

from common.mobile import files
from common.options import InputError
from common.release import teachers
from common.training import distillation, inference

from . import own_columns
from .config import APP, Config
from .folds import Data, FraudSplits
from .model import Detector, outputs

CHECKED_ROWS = 1000  # Transactions whose encodings are compared.
TOLERANCE = 1e-4


def load(
    config: Config, data: Data, splits: FraudSplits, student: Detector
) -> distillation.Teacher | None:
    """Returns the network of the release that `--teacher` names, if any.

    Args:
        config: The options.
        data: The data, of which there must be a single fold.
        splits: The fold's splits.
        student: The detector that is to learn.

    Raises:
        InputError: If the release was trained on other features, or encodes
            them otherwise, than the student.
    """
    if not config.teacher:
        return None
    if len(data.folds) > 1:
        raise InputError(
            f"--teacher needs a protocol of one fold; --protocol="
            f"{config.protocol} has {len(data.folds)}, and the teacher was "
            "trained on transactions that earlier folds are tested on. Pass "
            "--protocol=time or handbook_p1."
        )
    release = teachers.load(config, APP)
    path = release.path
    names = files.read_names(path / "mobile" / files.FEATURES, APP)
    teachers.check_same("features", names, data.names, path)
    own = own_columns.load(path / "mobile" / own_columns.FILE, APP)
    if own != data.own:
        raise InputError(
            f"--teacher must know the categories of the table's own columns as "
            f"this run does; {path} was trained on other transactions. Train "
            "both on the same ones."
        )
    encode, network = _parts(release.network, path)
    _check_encodings(encode, student.encode, splits, path)
    distillation.check(network, student.network, str(path))
    score, fraud = inference.outputs(
        release.network, inference.batches(splits.valid)
    )
    precision = float(metrics.average_precision_score(fraud, score[:, 0]))
    return distillation.Teacher.of(
        network,
        config,
        metrics={"average_precision": precision},
        notes=release.notes(config, splits),
        binary=True,
    )


def _parts(
    detector: keras.Model, path: Path
) -> tuple[keras.Model, keras.Model]:
    """Returns the encoding and the network of a released detector."""
    try:
        return detector.get_layer("encode"), detector.get_layer("network")
    except ValueError:
        raise InputError(
            f"--teacher must be a detector that this app has released; "
            f"model.keras of {path} has no encoding or no network."
        ) from None


def _check_encodings(
    taught: keras.Model, own: keras.Model, splits: FraudSplits, path: Path
) -> None:
    """Refuses a teacher that encodes transactions otherwise.

    Raises:
        InputError: If any encoding differs by more than `TOLERANCE`.
    """
    rows = splits.train.sample(CHECKED_ROWS, seed=0).features
    same = taught.input_shape == own.input_shape
    if same:
        pairs = [outputs(encode, rows) for encode in (taught, own)]
        same = [a.shape for a in pairs[0]] == [b.shape for b in pairs[1]]
    if not same or any(
        np.max(np.abs(a - b), initial=0.0) > TOLERANCE
        for a, b in zip(*pairs, strict=True)
    ):
        raise InputError(
            f"--teacher must encode transactions as this run does; {path} does "
            "not. Train both on the same transactions, with the same --bins, "
            "--steps and kind of --model."
        )
