"""What is lost, left behind or answered with a traceback, counted.

  python -m benchmarks.reliability
  python -m benchmarks.reliability --campaigns=inputs,commands --scale=0.1
  python -m benchmarks.reliability --campaigns=inputs --case=17

Five campaigns, each bounded and fixed by --seed: `kills` stops training runs
of the five apps and starts the same command again; `exports` kills what writes
a release; `exporters` lets ten processes export at once; `inputs` gives the
apps damaged files; `commands` gives them wrong command lines. A line is printed
for each campaign, and one before it for each failure, with the case's number:
--case runs that one alone and shows what it printed. The whole takes a few
hours on 2 cores, --scale=0.02 some minutes.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

# Before anything imports TensorFlow; as `runtime.start`.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from benchmarks.reliability import (
    commands,
    exporters,
    exports,
    inputs,
    kills,
    tally,
)

CAMPAIGNS = {
    "kills": kills.run,
    "exports": exports.run,
    "exporters": exporters.run,
    "inputs": inputs.run,
    "commands": commands.run,
}


def campaigns(text: str) -> list[str]:
    """Returns the names in a list joined by commas."""
    names = text.split(",")
    for name in names:
        if name not in CAMPAIGNS:
            raise argparse.ArgumentTypeError(
                f"must be of {', '.join(CAMPAIGNS)}; received {name!r}"
            )
    return names


def main() -> None:
    """Runs the campaigns; exits with 1 if anything failed."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--campaigns", type=campaigns, default=list(CAMPAIGNS), help="which"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="part of the cases to run"
    )
    parser.add_argument("--seed", type=int, default=0, help="fixes all cases")
    parser.add_argument(
        "--case", type=int, help="of one campaign only this, with its output"
    )
    parser.add_argument(
        "--folder",
        help="where files are written and stay: releases that were made there "
        "are used again; by default a temporary directory",
    )
    given = parser.parse_args()
    if given.case is not None and len(given.campaigns) > 1:
        parser.error("--case needs the one campaign in --campaigns")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="reliability-") as temporary:
        folder = Path(given.folder or temporary).absolute()
        for name in given.campaigns:
            plan = tally.Plan(
                name, folder / name, given.seed, given.scale, given.case
            )
            plan.folder.mkdir(parents=True, exist_ok=True)
            result = CAMPAIGNS[name](plan)
            print(result.line(), flush=True)
            failed += sum(result.failures.values())
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
