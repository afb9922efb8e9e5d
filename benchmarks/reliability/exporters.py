"""Ten processes that export at once: the newest release is always listed."""

import random
import shutil
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.reliability import process, tally
from common.release import export, models_config

ROUNDS, EXPORTERS = 60, 10


def run(plan: tally.Plan) -> tally.Tally:
    """Runs the rounds: two exports of each process, in a new directory."""
    result = tally.Tally(plan, "failed", "missing", "unlisted", "left behind")
    process.import_everything()
    for case, rng in plan.cases(ROUNDS):
        root = plan.folder / str(case)
        shutil.rmtree(root, ignore_errors=True)
        together = get_context("fork").Barrier(EXPORTERS)
        exporters = [
            process.fork(export_twice, root, together, rng.random())
            for _ in range(EXPORTERS)
        ]
        for exporter in exporters:
            exporter.join(process.SECONDS)
            if exporter.exitcode != 0:
                process.kill(exporter)
                result.fail("failed", case, "exit", str(exporter.exitcode))
        result.cases += 1
        result.notes["exports"] += 2 * EXPORTERS
        judge(result, case, root)
        shutil.rmtree(root, ignore_errors=True)
    return result


def export_twice(root: Path, together: Any, seed: float) -> None:
    """Exports light drafts; all processes begin at the same instant."""
    rng = random.Random(seed)
    together.wait()
    for _ in range(2):
        with export.release(root, "app") as draft:
            (draft.directory / "saved_model.pb").write_bytes(b"")
            time.sleep(rng.uniform(0, 0.01))


def judge(result: tally.Tally, case: int, root: Path) -> None:
    """Compares what is there with what models.config says."""
    versions = export.versions(root / "app")
    if versions != list(range(1, 2 * EXPORTERS + 1)):
        result.fail("missing", case, "versions", str(versions))
    state = models_config.state(root, "app")
    loaded = state.loaded if state else ()
    # The policy: what is labelled, and the newest.
    expected = {1, versions[-1]} if versions else set()
    if set(loaded) != expected:
        result.fail("unlisted", case, f"{expected}", f"{loaded} is listed")
    hidden = [path for path in process.tree(root) if is_hidden(path)]
    if hidden:
        result.fail("left behind", case, "hidden files", ", ".join(hidden))


def is_hidden(path: str) -> bool:
    """Tells whether a path is one that an export writes on its way.

    The lock of the export directory stays: who removes a lock file lets two
    processes lock two files of one name.
    """
    hidden = any(part.startswith(".") for part in Path(path).parts)
    return hidden and Path(path).name != models_config.LOCK
