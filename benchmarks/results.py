"""Measures every published figure again and writes the tables of the READMEs.

  make results
  make results ARGS="--only=image_classify_demo"

Each flagfile of `published.json` runs with each of its seeds, in a process of
its own; all of them take hours. The real data must be there: TFDS_DATA_DIR and
HANDBOOK_TRANSACTIONS name them. Where no figure of a setting falls below its
floor, its entry in the record and its tables in the app's README are written
anew; otherwise both stay as they are, and the program ends with status 1.
"""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import published
from common import flags, options
from common.options import InputError
from common.report import report

ROOT = Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Config(options.Checked):
    """What is measured."""

    only: tuple[str, ...] = options.option(
        (), "names of flagfiles; empty for all that are published."
    )
    folder: str = options.option("runs/results", "where the releases are made.")
    reuse: bool = options.option(
        False,
        "take the reports that an earlier call left in --folder, made by the "
        "same code, and run only what is missing.",
    )


def main(config: Config) -> None:
    """Runs the settings, compares, and writes record and tables."""
    record = published.read()
    names = chosen(config, record)
    commands = {name: extra_options(record[name]) for name in names}
    problems: list[str] = []
    for name in names:
        reports = {
            seed: run(config, name, record[name]["app"], seed, commands[name])
            for seed in record[name]["seeds"]
        }
        new = published.measured(record[name], reports)
        short = published.shortfalls(name, record[name], new)
        print("\n".join(short) or f"{name}: as published", flush=True)
        if not short:
            record[name] = new
            published.write(record)
            write_tables(record, new["app"])
        problems += short
    if problems:
        sys.exit(1)


def chosen(config: Config, record: dict[str, published.Setting]) -> list[str]:
    """Returns the names of the settings to run.

    Raises:
        InputError: If `--only` names one that is not published.
    """
    for name in config.only:
        if name not in record:
            raise InputError(
                f"--only must be of {', '.join(record)}; received {name!r}."
            )
    return list(config.only or record)


def extra_options(setting: published.Setting) -> list[str]:
    """Returns the options that say where the data are.

    Raises:
        InputError: If the environment does not say it.
    """
    words = []
    for option, variable in setting["data"].items():
        if not os.environ.get(variable):
            raise InputError(
                f"{variable} must name the data of {setting['app']}; it is not "
                "set. Set it, or leave the setting out by --only."
            )
        words.append(f"--{option}={os.environ[variable]}")
    return words


def run(
    config: Config, name: str, app: str, seed: str, words: list[str]
) -> dict[str, Any]:
    """Runs a flagfile with a seed; returns the report of its release.

    Only the first seed makes all files.

    Raises:
        InputError: If the run fails.
    """
    folder = Path(config.folder).absolute() / name / f"seed_{seed}"
    versions = sorted((folder / app).glob("[0-9]*"), key=lambda p: int(p.name))
    if versions and config.reuse:
        return report.read(versions[-1])
    if seed != "0":
        words = [*words, "--variants=float32"]
    print(f"{name}, seed {seed}", flush=True)
    done = subprocess.run(
        [
            sys.executable, "-m", f"apps.{app}",
            f"--flagfile={ROOT / 'apps' / 'flagfiles' / name}.flags",
            f"--seed={seed}", f"--export_dir={folder}",
            f"--work_dir={folder / 'work'}", *words,
        ],
        cwd=ROOT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise InputError(
            f"{name} must end well with seed {seed}; its status was "
            f"{done.returncode}. See what it printed above."
        )
    num_expected = len(versions) + 1
    versions = sorted((folder / app).glob("[0-9]*"), key=lambda p: int(p.name))
    if len(versions) < num_expected:
        raise InputError(f"{name} must leave a release in {folder / app}.")
    return report.read(versions[-1])


def write_tables(record: dict[str, published.Setting], app: str) -> None:
    """Writes the tables of an app into its README."""
    page = ROOT / "apps" / app / "README.md"
    text = page.read_text("utf-8")
    filled = published.fill(text, published.tables(record, app))
    page.write_text(filled, encoding="utf-8")


if __name__ == "__main__":
    flags.launch(main, Config)
