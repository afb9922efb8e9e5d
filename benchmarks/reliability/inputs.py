"""Damaged files of every kind: read, or refused in one line."""

import dataclasses
import random
import shutil
from pathlib import Path

from benchmarks.reliability import damage, process, samples, settings, tally
from benchmarks.reliability.exporters import is_hidden
from common.release import models_config

CASES = 1000
# What a command may leave though it is refused: a training run's checkpoints
# and logs, and the servers' settings that every look at releases completes.
KEPT = ("runs", "work", "batching.config", "monitoring.config",
        models_config.LOCK)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Subject:
    """A file that is read, and the command that reads it.

    Attributes:
        file: Its name among the samples; "*" in it for one of a release.
        words: The command; `{file}` and `{home}` are filled in.
        weight: How often it is chosen; commands that train are slow.
    """

    file: str
    words: tuple[str, ...]
    weight: int = 4


def predicting(app: str, file: str, *words: str) -> Subject:
    """Returns the subject of a predict command."""
    return Subject(
        file,
        (f"apps.{app}", "--mode=predict", "--export_dir={home}/saved_models",
         "--inputs={file}", "--output=out.csv", *words),
    )  # fmt: skip


def evaluating(app: str, file: str, *words: str) -> Subject:
    """Returns the subject of an evaluate command."""
    return Subject(
        file,
        (f"apps.{app}", "--mode=evaluate", "--dataset={file}",
         "--export_dir={home}/saved_models", *words),
    )  # fmt: skip


def compressing(file: str, *words: str) -> Subject:
    """Returns the subject of a compress command."""
    return Subject(
        file,
        ("apps.compress", "--export_dir=out", *words),
        weight=2,
    )


TABLE_ENDINGS = ("csv", "tsv", "jsonl", "parquet")
INPUTS = {
    "image_classify": "{home}/samples/image.png",
    "text_sentiment": "a good film",
    "recommender": "history:1,2",
    "fraud_detect": "{home}/samples/payments.csv",
    "medical_autoencoder": "{home}/samples/image.png",
}
SUBJECTS = (
    *(predicting("image_classify", f"image.{ending}")
      for ending in ("png", "jpg", "gif", "bmp")),
    *(predicting("medical_autoencoder", name)
      for name in ("image.png", "image.tiff", "scan.dcm")),
    *(predicting("text_sentiment", f"texts.{ending}")
      for ending in (*TABLE_ENDINGS, "txt")),
    *(predicting("fraud_detect", f"payments.{ending}")
      for ending in TABLE_ENDINGS),
    *(evaluating("text_sentiment", f"texts.{ending}")
      for ending in TABLE_ENDINGS),
    *(Subject(f"ratings.{ending}",
              (*settings.command("recommender"), "--dataset={file}",
               "--epochs=1", "--export_dir=out"), weight=1)
      for ending in TABLE_ENDINGS),
    predicting("recommender", "users.txt"),
    compressing("calibration.npz", "--model={home}/samples/model.keras",
                "--calibration={file}", "--variants=int8"),
    compressing("labelled.npz", "--model={home}/samples/model.keras",
                "--dataset={file}", "--variants=float32"),
    compressing("model.keras", "--model={file}", "--variants=float32",
                "--calibration={home}/samples/calibration.npz"),
    Subject("lenet5.weights.h5",
            (*settings.command("image_classify"), "--weights={file}",
             "--epochs=1", "--export_dir=out"), weight=1),
    *(Subject(f"{app}/*",
              (f"apps.{app}", "--mode=predict", "--release=release",
               f"--inputs={words}", "--output=out.csv"))
      for app, words in INPUTS.items()),
    Subject("image_classify/*",
            ("apps.image_classify", "--mode=predict", "--release=release",
             f"--inputs={INPUTS['image_classify']}", "--variant=float32")),
    Subject("predict.flags", ("apps.text_sentiment", "--flagfile={file}")),
    *(Subject("models.config", ("apps.releases", command, "--export_dir=.",
                                "--settle_seconds=0"))
      for command in ("list", "promote", "prune", "verify")),
    Subject("stopped/backup.npz",
            (*settings.command("image_classify"), "--work_dir=work",
             "--export_dir=out"), weight=2),
)  # fmt: skip


def run(plan: tally.Plan) -> tally.Tally:
    """Gives each case one damaged file."""
    result = tally.Tally(plan, *process.KINDS, "whole refused")
    process.import_everything()
    home = plan.folder / "home"
    prepare(home)
    weights = [subject.weight for subject in SUBJECTS]
    for case, rng in plan.cases(CASES):
        (subject,) = rng.choices(SUBJECTS, weights)
        folder = plan.folder / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        path = place(subject, home, folder, rng)
        what = damage.apply(path, rng)
        words = [
            word.format(file=path.relative_to(folder), home=home)
            for word in subject.words
        ]
        name = f"{what} {path.relative_to(folder)} in `{' '.join(words)}`"
        ended = process.run(words, folder)
        result.cases += 1
        result.notes["refused"] += ended.status == 2
        kind, message = ended.fault(allows(ended.status))
        if not kind and what == "nothing" and ended.status:
            kind, message = "whole refused", ended.stderr
        if kind:
            result.fail(kind, case, name.replace(str(home), "HOME"), message)
        if plan.case is not None:
            print(name, ended.stdout, ended.stderr, sep="\n")
    return result


def allows(status: int) -> process.Allows:
    """Returns what tells whether a path may stay after such an end."""
    roots = KEPT if status else (*KEPT, "out", "out.csv", "saved_models")

    def is_allowed(path: str) -> bool:
        parts = Path(path).parts
        return parts[0] in roots and not is_hidden(path)

    return is_allowed


def place(
    subject: Subject, home: Path, folder: Path, rng: random.Random
) -> Path:
    """Copies what the command reads into a folder; returns what to damage."""
    owner, _, file = subject.file.rpartition("/")
    if file == "*":
        release = folder / "release"
        shutil.copytree(home / "saved_models" / owner / "1", release)
        files = [path for path in release.rglob("*") if path.is_file()]
        return rng.choice(sorted(files))
    if owner == "stopped":
        shutil.copytree(home / "stopped", folder / "work")
        return next((folder / "work").rglob(file))
    if file == "models.config":
        source = home / "saved_models"
        shutil.copytree(source / "fraud_detect", folder / "fraud_detect")
        return Path(shutil.copy(source / file, folder / file))
    return Path(shutil.copy(home / "samples" / file, folder / file))


def prepare(home: Path) -> None:
    """Makes the samples, a release of each app, and a stopped training run."""
    done = home / "done"
    if done.exists():
        return
    shutil.rmtree(home, ignore_errors=True)
    samples.write(home / "samples")
    writer = process.fork(samples.write_models, home / "samples")
    writer.join()
    flags = (
        "# A comment.\n--mode=predict\n--inputs=a good film\n"
        f"--export_dir={home}/saved_models\n"
    )
    (home / "samples" / "predict.flags").write_text(flags, "utf-8")
    for app in settings.TRAINING:
        ended = process.run(settings.command(app), home, seconds=600)
        if ended.status:
            raise RuntimeError(f"{app} cannot be trained: {ended.stderr}")
    stop(home)
    done.touch()


def stop(home: Path) -> None:
    """Leaves a training run of image_classify that was killed on its way.

    Raises:
        RuntimeError: If it ends before its first backup.
    """
    words = settings.command("image_classify", "--work_dir=stopped")
    outside = home / "output"
    outside.mkdir()
    training = process.fork(process.become, words, home, outside)
    while not list(home.glob("stopped/*/backup.npz")):
        training.join(0.01)
        if not training.is_alive():
            raise RuntimeError("the run to be stopped has ended")
    process.kill(training)
