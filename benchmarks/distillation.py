"""A student with its teacher against the same student alone, seed by seed.

  python -m benchmarks.distillation image_classify --seeds=0,1,2
    --teacher=saved_models/image_classify/1
    --flagfile=apps/flagfiles/image_classify_mnist.flags --width=0.5

Each seed trains twice with the options that follow, once with `--teacher` and
once without, with the same steps, and prints the task metric on validation and
on test. The gain counts if the worst taught student is better than the best of
those alone; otherwise the program says that it lies within the spread.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import teacher_options
from common.report import report

OF_TEACHER = ("teacher", *teacher_options.OF_TEACHER)


def command(
    app: str, options: Sequence[str], seed: int, folder: Path, taught: bool
) -> list[str]:
    """Returns the command of a run.

    Args:
        app: The app.
        options: Its options, those about the teacher among them.
        seed: The seed.
        folder: Where the release and the checkpoints go.
        taught: Whether the student has its teacher.
    """
    names = tuple(f"--{name}=" for name in OF_TEACHER)
    return [
        sys.executable, "-m", f"apps.{app}",
        *(o for o in options if taught or not o.startswith(names)),
        f"--seed={seed}", f"--export_dir={folder}",
        f"--work_dir={folder / 'work'}", "--variants=float32",
    ]  # fmt: skip


def verdict(
    alone: Sequence[float], taught: Sequence[float], higher_is_better: bool
) -> str:
    """Returns a sentence on the means, and on the gain against the spread.

    Args:
        alone: The metric of each seed without a teacher.
        taught: The metric of each seed with it.
        higher_is_better: Whether more of the metric is better.
    """
    sign = 1 if higher_is_better else -1
    means = [sum(values) / len(values) for values in (alone, taught)]
    gain = sign * (means[1] - means[0])
    apart = min(sign * v for v in taught) > max(sign * v for v in alone)
    return (
        f"mean {means[0]:.4f} alone, {means[1]:.4f} taught, gain {gain:+.4f}, "
        f"{'more than' if apart else 'within'} the spread of "
        f"{len(alone)} seed{'s' * (len(alone) > 1)}"
    )


def run(
    app: str, options: Sequence[str], seed: int, root: Path, taught: bool
) -> dict[str, Any]:
    """Trains a student, and returns its report."""
    folder = root / f"seed_{seed}_{'taught' if taught else 'alone'}"
    line = command(app, options, seed, folder, taught)
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    versions = (folder / app).glob("[0-9]*")
    return report.read(max(versions, key=lambda path: int(path.name)))


def main() -> None:
    """Prints the metric of each run and a verdict for each split."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("app")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--folder", type=Path, default="runs/distillation")
    arguments, options = parser.parse_known_args()
    values: dict[tuple[str, bool], list[float]] = {}
    for seed in map(int, arguments.seeds.split(",")):
        for taught in (False, True):
            result = run(arguments.app, options, seed, arguments.folder, taught)
            metric = result["task_metric"]
            for split in ("valid", "test"):
                value = result["metrics"][split][metric]
                values.setdefault((split, taught), []).append(value)
                print(
                    f"seed {seed}  {'taught' if taught else 'alone ':6}  "
                    f"{split:5}  {metric} {value:.4f}",
                    flush=True,
                )
    for split in ("valid", "test"):
        pair = (values[split, False], values[split, True])
        print(f"{split}: {verdict(*pair, result['higher_is_better'])}")


if __name__ == "__main__":
    main()
