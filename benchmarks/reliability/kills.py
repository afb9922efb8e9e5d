"""Training runs stopped at uniform instants: the same command ends as if not.

Every run is stopped several times, the last time it is left alone; its release
must hold the very weights and figures of a run that nothing has disturbed.
"""

import dataclasses
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np

from benchmarks.reliability import process, settings, tally
from benchmarks.reliability.exporters import is_hidden
from common.release import export, models_config

KILLS = 100
# Seconds after which a run that nothing stops has failed.
LONGEST = 600.0
# Signals to one run at most; then it is left alone.
SIGNALS = 5
# SIGKILL is the rule; the others ask for a polite end.
KINDS = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)


@dataclasses.dataclass(frozen=True)
class Run:
    """A training command in a folder of its own."""

    app: str
    folder: Path

    def start(self) -> subprocess.Popen:
        """Starts it, or continues it."""
        return subprocess.Popen(
            [sys.executable, "-m", *settings.command(self.app)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(process.ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, after: float | None = None, kind: int = 0) -> tuple[int, str]:
        """Runs it, sends a signal after some seconds; returns how it ended.

        Returns:
            The status, as `subprocess` gives it, and what came on stderr.
        """
        running = self.start()
        try:
            _, text = running.communicate(timeout=after or LONGEST)
        except subprocess.TimeoutExpired:
            running.send_signal(kind or signal.SIGKILL)
            try:
                _, text = running.communicate(timeout=process.SECONDS)
            except subprocess.TimeoutExpired:
                running.kill()
                return 1, "does not end"
        return running.returncode, text

    def result(self) -> tuple[dict[str, np.ndarray], dict]:
        """Returns the newest release's weights by name, and its figures."""
        release = export.find("", str(self.folder / "saved_models"), self.app)
        text = (release / "report" / "report.json").read_text("utf-8")
        figures = json.loads(text)
        return weights(release / "model.keras"), {
            key: figures[key] for key in ("metrics", "history")
        }


def run(plan: tally.Plan) -> tally.Tally:
    """Stops runs of each app until it was killed often enough.

    A case is a run of one app: `case % 5` is the app.
    """
    result = tally.Tally(
        plan, "lost", "traceback", "weights differ", "figures differ",
        "unlisted", "left behind",
    )  # fmt: skip
    plan.folder.mkdir(parents=True, exist_ok=True)
    apps = list(settings.TRAINING)
    share = -(-plan.count(KILLS) // len(apps))
    for index, app in enumerate(apps):
        if plan.case is not None and plan.case % len(apps) != index:
            continue
        quiet, seconds = undisturbed(Run(app, plan.folder / f"{app}-whole"))
        kills, case = 0, index if plan.case is None else plan.case
        while kills < share:
            rng = random.Random(f"{plan.seed}:{plan.campaign}:{case}")
            disturbed = Run(app, plan.folder / f"{app}-{case}")
            kills += stop_and_go(
                result, case, disturbed, quiet, seconds, rng, share - kills
            )
            case += len(apps)
            if plan.case is not None:
                break
    return result


def undisturbed(whole: Run) -> tuple[tuple[dict, dict], float]:
    """Returns what a run gives that nothing stops, and its seconds.

    Raises:
        RuntimeError: If even that fails.
    """
    shutil.rmtree(whole.folder, ignore_errors=True)
    whole.folder.mkdir()
    start = time.monotonic()
    status, text = whole.end()
    if status:
        raise RuntimeError(f"{whole.app} ended with {status}: {text}")
    return whole.result(), time.monotonic() - start


def stop_and_go(
    result: tally.Tally,
    case: int,
    disturbed: Run,
    expected: tuple[dict, dict],
    seconds: float,
    rng: random.Random,
    kills: int,
) -> int:
    """Stops one run, starts it again, judges its end.

    Args:
        result: Where failures go.
        case: The run's number.
        disturbed: The run.
        expected: What the undisturbed one gave.
        seconds: How long that one took.
        rng: Chooses signals and instants.
        kills: The most SIGKILLs.

    Returns:
        How many SIGKILLs came before the run's own end.
    """
    shutil.rmtree(disturbed.folder, ignore_errors=True)
    disturbed.folder.mkdir()
    result.cases += 1
    received: list[str] = []
    killed = 0
    for _ in range(SIGNALS):
        kind, after = rng.choice(KINDS), rng.uniform(0, seconds)
        status, text = disturbed.end(after, kind)
        if status == 0:
            break
        name = signal.Signals(kind).name
        received.append(f"{name} at {after:.1f} s")
        result.notes[name] += 1
        if "Traceback" in text:
            lines = text.strip().splitlines()
            subject = f"{disturbed.app}, {', '.join(received)}"
            result.fail("traceback", case, subject, " / ".join(lines[-3:]))
        killed += kind == signal.SIGKILL
        if killed >= kills:
            break
    subject = f"{disturbed.app}, {', '.join(received) or 'no signal'}"
    judge(result, case, disturbed, expected, subject)
    return killed


def judge(
    result: tally.Tally,
    case: int,
    disturbed: Run,
    expected: tuple[dict, dict],
    subject: str,
) -> None:
    """Lets a run end and compares its release with the expected one."""
    status, text = disturbed.end()
    if status:
        last = (text.strip().splitlines() or [""])[-1]
        result.fail("lost", case, subject, f"status {status}: {last}")
        return
    arrays, figures = disturbed.result()
    names = [
        name
        for name in sorted({*arrays, *expected[0]})
        if not np.array_equal(arrays.get(name), expected[0].get(name))
    ]
    if names:
        result.fail("weights differ", case, subject, str(names[:3]))
    if figures != expected[1]:
        result.fail("figures differ", case, subject, str(figures["metrics"]))
    releases = disturbed.folder / "saved_models"
    state = models_config.state(releases, disturbed.app)
    newest = export.versions(releases / disturbed.app)[-1]
    if state is None or newest not in state.loaded:
        result.fail("unlisted", case, subject, f"version {newest}: {state}")
    left = [
        path
        for path in sorted(process.tree(disturbed.folder))
        if is_hidden(path) or "partial" in path or path.endswith("backup.npz")
    ]
    if left:
        result.fail("left behind", case, subject, str(left[:3]))
    else:
        shutil.rmtree(disturbed.folder)


def weights(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a `.keras` file by their names in it."""
    arrays: dict[str, np.ndarray] = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with zipfile.ZipFile(path) as archive:
        content = archive.read("model.weights.h5")
    with h5py.File(io.BytesIO(content), "r") as file:
        file.visititems(note)
    return arrays
