"""Exports killed at uniform instants: no half release, no broken listing."""

import random
import shutil
import statistics
import time
from pathlib import Path

from benchmarks.reliability import process, tally
from benchmarks.reliability.exporters import is_hidden
from common.options import InputError
from common.release import export, manifest, models_config

KILLS = 500
# A whole export follows so many killed ones, and must find all in order.
BETWEEN = 10


def run(plan: tally.Plan) -> tally.Tally:
    """Kills exports of a small model, one after the other in one directory."""
    result = tally.Tally(
        plan, "failed", "half release", "broken config", "unlisted",
        "left behind",
    )  # fmt: skip
    process.import_everything()
    root = plan.folder / "saved_models"
    shutil.rmtree(root, ignore_errors=True)
    # Not under the seed: they are measured, and the first one is slower.
    seconds = statistics.median(whole(root) for _ in range(5))
    expected = process.tree(root / "app" / "1")
    for case, rng in plan.cases(KILLS):
        result.cases += 1
        was_killed = killed(root, rng, seconds)
        result.notes["killed"] += was_killed
        judge(result, case, root, expected)
        if case % BETWEEN == BETWEEN - 1 or case == plan.case:
            finish(result, case, root)
    return result


def export_small_model(root: Path) -> None:
    """Writes one release of a model of two layers."""
    import keras
    import tensorflow as tf

    model = keras.Sequential(
        [keras.Input((4,), name="x"), keras.layers.Dense(8, activation="relu"),
         keras.layers.Dense(2, activation="softmax")]
    )  # fmt: skip

    def predict(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": model(x)}

    signature = export.Signature(
        predict,
        (tf.TensorSpec((None, 4), tf.float32, "x"),),
        ([[0.0, 1.0, 2.0, 3.0]],),
    )
    with export.release(root, "app") as draft:
        export.save(draft.directory, model, {"serving_default": signature})


def whole(root: Path) -> float:
    """Exports without a kill; returns the seconds that it took."""
    start = time.monotonic()
    exporter = process.fork(export_small_model, root)
    exporter.join(process.SECONDS)
    if exporter.exitcode != 0:
        process.kill(exporter)
        raise RuntimeError(f"an export ended with {exporter.exitcode}")
    return time.monotonic() - start


def killed(root: Path, rng: random.Random, seconds: float) -> bool:
    """Kills an export at an instant of `seconds`; tells whether it was on."""
    exporter = process.fork(export_small_model, root)
    exporter.join(rng.uniform(0, seconds))
    was_alive = exporter.is_alive()
    process.kill(exporter)
    return was_alive


def judge(
    result: tally.Tally, case: int, root: Path, expected: set[str]
) -> None:
    """Looks for what a server or a user must never see."""
    for version in export.versions(root / "app")[-3:]:
        release = root / "app" / str(version)
        wrong = sorted(expected - process.tree(release))
        wrong += manifest.damages(release)
        if wrong:
            result.fail("half release", case, str(release), str(wrong))
    try:
        models_config.read(root)
    except InputError as error:
        result.fail("broken config", case, "models.config", str(error))


def finish(result: tally.Tally, case: int, root: Path) -> None:
    """Exports once more: the listing is complete, and nothing else is left."""
    try:
        whole(root)
    except RuntimeError as error:
        result.fail("failed", case, "the next export", str(error))
        return
    newest = export.versions(root / "app")[-1]
    state = models_config.state(root, "app")
    if state is None or newest not in state.loaded:
        result.fail("unlisted", case, f"version {newest}", str(state))
    hidden = sorted(path for path in process.tree(root) if is_hidden(path))
    if hidden:
        result.fail(
            "left behind", case, f"{len(hidden)} paths", str(hidden[:3])
        )
    # What was counted is not counted again, and the disk does not fill up.
    for path in hidden:
        if (root / path).is_dir():
            shutil.rmtree(root / path)
        else:
            (root / path).unlink(missing_ok=True)
    for version in export.versions(root / "app")[1:-10]:
        shutil.rmtree(root / "app" / str(version))
