"""A worker for the tests: trains an app, and notes what it ended with.

`python tests/multi_worker_job.py NOTES APP FLAGS...` writes the model's weights
and the logs of `training.fit` to `NOTES/<worker>.npz`; no release is made.
Where `SECONDS_TO_WRITE` is set, the chief takes so long to write a checkpoint.
"""

import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from common import flags, program
from common.training import checkpoint, fitting
from common.workers import cluster


def main() -> None:
    """Runs the app's own command line, as far as its training."""
    notes, name = Path(sys.argv[1]), sys.argv[2]
    del sys.argv[1:3]
    app = importlib.import_module(f"apps.{name}.train")
    fit = fitting.fit

    def fit_and_note(model: Any, *args: Any, **kwargs: Any) -> fitting.Log:
        log = fit(model, *args, **kwargs)
        arrays = {f"weight_{i}": w for i, w in enumerate(model.get_weights())}
        notes.mkdir(exist_ok=True, parents=True)
        np.savez(notes / f"{cluster.index()}.npz", **arrays, **log.history)
        return log

    write, seconds = checkpoint.write, os.environ.get("SECONDS_TO_WRITE", "0")

    def write_slowly(*args: Any) -> None:
        time.sleep(float(seconds))
        write(*args)

    checkpoint.write = write_slowly

    def end() -> NoReturn:
        raise SystemExit(0)

    fitting.fit = fit_and_note
    cluster.end_unless_chief = end
    flags.launch(program.run, app.Config)


if __name__ == "__main__":
    main()
