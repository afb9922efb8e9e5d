"""Workers on this machine, against one that trains alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
JOB = str(ROOT / "tests" / "multi_worker_job.py")
DIGITS = (
    "image_classify", "--dataset=digits", "--model=lenet5", "--dropout=0",
    "--image_size=12", "--shift=0", "--rotation=0", "--crop=0",
    "--epochs=2", "--batch_size=64", "--variants=float32",
)  # fmt: skip
MNIST = (
    "image_classify",
    f"--flagfile={ROOT}/apps/flagfiles/image_classify_mnist_seed.flags",
    "--epochs=2",
    "--batch_size=128",
)
IMDB = (
    "text_sentiment", "--dataset=imdb_reviews", "--vectors=false",
    "--num_pairs=0", "--vocabulary_size=2000", "--max_tokens=60",
    "--embedding_dim=16", "--units=16", "--dropout=0", "--word_dropout=0",
    "--epochs=1", "--batch_size=100",
)  # fmt: skip


def command(tmp_path: Path, notes: str, flags: tuple[str, ...]) -> list[str]:
    return [
        sys.executable, JOB, str(tmp_path / notes), *flags,
        f"--export_dir={tmp_path}/releases",
    ]  # fmt: skip


def start(
    tmp_path: Path, workers: int, notes: str, flags: tuple[str, ...]
) -> subprocess.Popen:
    """Starts a job, of one process if `workers` is 1."""
    words = command(tmp_path, notes, (*flags, f"--work_dir={tmp_path}/{notes}"))
    if workers > 1:
        launch = [sys.executable, "-m", "apps.launch", f"--workers={workers}"]
        words = [*launch, "--", *words, "--strategy=multi_worker"]
    return subprocess.Popen(
        words, cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def train(
    tmp_path: Path, workers: int, flags: tuple[str, ...], notes: str = ""
) -> list[dict[str, np.ndarray]]:
    """Returns what each worker ended with."""
    notes = notes or f"notes_{workers}"
    job = start(tmp_path, workers, notes, flags)
    output, _ = job.communicate(timeout=600)
    assert job.returncode == 0, output
    files = [tmp_path / notes / f"{one}.npz" for one in range(workers)]
    return [dict(np.load(one)) for one in files]


def check(tmp_path: Path, counts: tuple[int, ...], flags) -> None:
    """Trains alone and by workers; all must end alike."""
    (alone,) = train(tmp_path, 1, flags)
    for count in counts:
        found = train(tmp_path, count, flags)
        for name, value in found[0].items():
            for other in found[1:]:
                np.testing.assert_array_equal(other[name], value)
            if name.endswith("loss"):  # Accuracies move by whole images.
                np.testing.assert_allclose(value, alone[name], atol=1e-4)


@pytest.mark.slow
def test_two_workers_train_as_one_would(tmp_path) -> None:
    check(tmp_path, (2,), DIGITS)
    logs = list(tmp_path.rglob("log.csv"))
    assert len(logs) == 2  # Of two jobs: the second worker of one writes none.


@pytest.mark.slow
def test_two_workers_end_with_the_same_statistics(tmp_path) -> None:
    # Of batch normalization, which LeNet does not have.
    flags = (*DIGITS, "--model=small_cnn", "--epochs=1")
    first, second = train(tmp_path, 2, flags)
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)


@pytest.mark.large
@pytest.mark.parametrize(
    "app",
    [
        "recommender",
        "fraud_detect",
        pytest.param("text_sentiment", marks=pytest.mark.by_hand),
        pytest.param("medical_autoencoder", marks=pytest.mark.by_hand),
    ],
)
def test_two_workers_end_alike_in_the_other_apps(tmp_path, app) -> None:
    flagfile = ROOT / "apps" / "flagfiles" / f"{app}_demo.flags"
    flags = (app, f"--flagfile={flagfile}", "--epochs=1", "--variants=float32")
    first, second = train(tmp_path, 2, flags)
    assert np.isfinite(first["loss"]).all()
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)


@pytest.mark.large
def test_two_and_four_workers_on_mnist(tmp_path, tfds_dir) -> None:
    # 90 steps. Sums in another order differ in their last bits, and training
    # lets differences grow: after 1,688 steps the losses are 1.3e-4 apart.
    more = ("--batch_size=600", "--epochs=1")
    flags = (*MNIST, *more, f"--data_dir={tfds_dir('mnist')}")
    check(tmp_path, (2, 4), flags)


@pytest.mark.large
@pytest.mark.by_hand
def test_two_and_four_workers_on_imdb(tmp_path, tfds_dir) -> None:
    check(tmp_path, (2, 4), (*IMDB, f"--data_dir={tfds_dir('imdb_reviews')}"))


@pytest.mark.large
@pytest.mark.by_hand
def test_a_killed_job_ends_like_one_that_was_not(tmp_path) -> None:
    flags = (*DIGITS, "--epochs=40")
    undisturbed = train(tmp_path, 2, flags, "undisturbed")
    job = start(tmp_path, 2, "killed", flags)
    while not list((tmp_path / "killed").rglob("backup.npz")):
        time.sleep(0.2)
        assert job.poll() is None
    time.sleep(2)  # Some epochs later.
    _, second = workers_of(job.pid)
    os.kill(second, signal.SIGKILL)
    output, _ = job.communicate(timeout=120)
    assert job.returncode == 137 or job.returncode == 138, output
    assert not list((tmp_path / "killed").rglob("*.partial-*"))
    continued = train(tmp_path, 2, flags, "killed")
    for name, value in undisturbed[0].items():
        np.testing.assert_allclose(continued[1][name], value, atol=1e-6)


@pytest.mark.by_hand
@pytest.mark.large
def test_a_chief_that_writes_slowly_is_not_read_too_early(
    tmp_path, monkeypatch
) -> None:
    # Stopped inside an epoch, a job continues with the rest of it: a further
    # `fit`, before which no worker may read what the chief still writes.
    flags = (*DIGITS, "--epochs=4", "--model=small_cnn")
    undisturbed = train(tmp_path, 2, flags, "undisturbed")
    job = start(tmp_path, 2, "stopped", flags)
    while not list((tmp_path / "stopped").rglob("backup.npz")):
        time.sleep(0.05)
        assert job.poll() is None
    job.send_signal(signal.SIGTERM)
    output, _ = job.communicate(timeout=120)
    assert job.returncode == 143, output
    monkeypatch.setenv("SECONDS_TO_WRITE", "2")
    continued = train(tmp_path, 2, flags, "stopped")
    for name, value in undisturbed[0].items():
        for one in continued:
            np.testing.assert_allclose(one[name], value, atol=1e-6)


def workers_of(pid: int) -> list[int]:
    """Returns the processes that `apps.launch` started, in order."""
    words = ["ps", "-o", "pid=", "--ppid", str(pid)]
    found = subprocess.run(words, capture_output=True, text=True, check=True)
    return sorted(int(one) for one in found.stdout.split())
