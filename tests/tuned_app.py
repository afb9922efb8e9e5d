"""An application for tests of the search, whose training is a formula."""

from pathlib import Path

CONFIG = """
import dataclasses
from common.options import InputError, option
from common.shared_options import Options

@dataclasses.dataclass(frozen=True)
class Config(Options):
    default_dataset = "toy"
    units: int = option(32, "units.", minimum=1, maximum=1000)
    layers: tuple[str, ...] = option(("8",), "layers.")
    flip: bool = option(False, "flip.")
    kind: str = option("a", "kind.", choices=("a", "b"))
    rows: int = option(9, "rows.", data=True)
    size: int = option(9, "size.", data=True)
    baselines: bool = option(True, "baselines.", training=False)

    def __post_init__(self):
        super().__post_init__()
        if self.kind == "b" and self.units == 77:
            raise InputError("--units must not be 77 with --kind=b.")
"""
TRAIN = """
import math
import os
from pathlib import Path
from common.training import trials

runs = []
stop = None  # Called with the run's number and epoch.

def run(config):
    runs.append(config)
    trial = trials.current()
    rate = math.log10(config.learning_rate)
    best = 0.9 - (rate + 2.5) ** 2 / 20 - abs(config.units - 40) / 400
    if trial is None:  # A release.
        Path(config.export_dir).mkdir(parents=True, exist_ok=True)
        Path(config.export_dir, "released").write_text(str(best))
        return {}
    assert not config.baselines
    for epoch in range(config.epochs):
        if stop:
            stop(len(runs) - 1, epoch)
        value = best * (epoch + 1) / config.epochs
        if trial.monitor:
            trial.on_epoch(epoch, value)
    size = 100 * config.units
    return {
        "task_metric": "accuracy",
        "higher_is_better": True,
        "metrics": {"valid": {"accuracy": best}},
        "variants": [
            {"name": name, "valid_metric": best, "gzip_bytes": size}
            for name in ("float32", *config.variants)
        ] if trial.with_files else [],
    }
"""
SEARCH = """
COMPARABLE = ("size",)
IN_TRIALS = {"baselines": False}

def space(config):
    return '''
        learning_rate = 1e-4..1e-1 log  # The most important.
        units = 8..64
        kind = a|b
    '''

def monitor(config):
    return "val_accuracy"
"""


def write(folder: Path) -> None:
    """Writes the package `toy` into a folder."""
    package = folder / "toy"
    package.mkdir()
    for name, text in (
        ("__init__", '"""Toy."""'),
        ("config", CONFIG),
        ("train", TRAIN),
        ("search", SEARCH),
    ):
        (package / f"{name}.py").write_text(text)
