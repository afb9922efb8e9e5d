"""The published figures: their record, their floors and their tables.

`published.json` holds, for each flagfile of `apps/flagfiles`, what was measured
on test: with each seed the model's metrics, and the files of the first seed.
The tables in the apps' READMEs are written from it and from nothing else.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from common.options import InputError
from common.report import metrics

PATH = Path(__file__).with_name("published.json")
END = "<!-- end -->"
# How much less small than published a file may be. The sizes of pruned files
# differ by 1 % between processors.
SIZE_SLACK = 0.05

Figure = dict[str, Any]  # value, floor and, where it was measured, interval.
Setting = dict[str, Any]  # An entry of the record.


def read(path: Path = PATH) -> dict[str, Setting]:
    """Returns the record, by the names of the flagfiles."""
    return json.loads(path.read_text("utf-8"))


def write(record: Mapping[str, Setting], path: Path = PATH) -> None:
    """Writes the record."""
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def floor(name: str, seed: int, metric: str) -> float:
    """Returns what a metric of a setting must not fall below."""
    return read()[name]["seeds"][str(seed)][metric]["floor"]


def measured(
    setting: Setting, reports: Mapping[str, Mapping[str, Any]]
) -> Setting:
    """Returns the entry of a setting with new figures and the old floors.

    Args:
        setting: The published entry. A figure that it lacks gets its floor
            from the new figures; other floors stay, so that figures cannot
            creep down from run to run.
        reports: What `report.json` of each seed's release holds, by seed.
    """
    seeds = {
        seed: {metric: _figure(metric, report) for metric in setting["metrics"]}
        for seed, report in reports.items()
    }
    for metric in setting["metrics"]:
        values = [row[metric]["value"] for row in seeds.values()]
        for seed, row in seeds.items():
            old = setting["seeds"].get(seed, {}).get(metric, {})
            low = old.get("floor", _lowest(row[metric], values))
            if low is not None:
                row[metric]["floor"] = low
    first = next(iter(reports.values()))
    files = {
        row["name"]: {
            "metric": round(row["metric"], 4),
            "gzip_kb": round(row["gzip_bytes"] / 1000, 1),
            "chosen": row["chosen"],
        }
        for row in first["variants"]
    }
    return {**setting, "seeds": seeds, "files": files}


def _figure(metric: str, report: Mapping[str, Any]) -> Figure:
    """Returns a test metric of a report, with its interval if it has one."""
    test = report["metrics"]["test"]
    figure: Figure = {"value": round(test[metric], 4)}
    interval: Sequence[float] = test.get("intervals", {}).get(metric, ())
    if f"{metric}_low" in test:
        interval = (test[f"{metric}_low"], test[f"{metric}_high"])
    elif metric == "accuracy":
        interval = metrics.proportion_interval(
            test[metric], report["dataset"]["test"]
        )
    if interval:
        figure["interval"] = [round(float(end), 4) for end in interval]
    return figure


def _lowest(figure: Figure, values: Sequence[float]) -> float | None:
    """Returns the floor of a new figure; None if nothing says where it is."""
    if "interval" in figure:
        return figure["interval"][0]
    if len(values) < 2:
        return None
    return round(figure["value"] - prediction_spread(values), 4)


def prediction_spread(values: Sequence[float]) -> float:
    """Returns half the width of the 95 % prediction interval of one more seed.

    Where a report has no interval of its own, two seeds or more say how far a
    run may fall, by Student's t.
    """
    num = len(values)
    deviation = float(np.std(values, ddof=1))
    return stats.t.ppf(0.975, num - 1) * deviation * math.sqrt(1 + 1 / num)


def shortfalls(name: str, old: Setting, new: Setting) -> list[str]:
    """Returns a sentence for each figure below what is published.

    A metric of the model has its floor. A file's metric may fall as far as the
    model's own, and its size ratio by `SIZE_SLACK`.
    """
    sentences = []
    for seed, row in old["seeds"].items():
        for metric, figure in row.items():
            value = new["seeds"][seed][metric]["value"]
            if value < figure.get("floor", -math.inf):
                sentences.append(
                    f"{name}, seed {seed}: {metric} {value} is below its "
                    f"floor {figure['floor']} (published {figure['value']})."
                )
    if not old["files"]:
        return sentences
    task = next(iter(old["seeds"].values()))[old["task_metric"]]
    allowed = task["value"] - task["floor"]
    for file, row in old["files"].items():
        if file not in new["files"]:
            sentences.append(f"{name}: {file} was not made.")
            continue
        value = new["files"][file]["metric"]
        if value < row["metric"] - allowed:
            sentences.append(
                f"{name}, {file}: {old['task_metric']} {value} is more than "
                f"{allowed:.4f} below the published {row['metric']}."
            )
        ratios = [_ratio(setting, file) for setting in (old, new)]
        if ratios[1] < (1 - SIZE_SLACK) * ratios[0]:
            sentences.append(
                f"{name}, {file}: {ratios[1]:.1f} times smaller than the first "
                f"file; published {ratios[0]:.1f}."
            )
    return sentences


def _ratio(setting: Setting, file: str) -> float:
    """Returns how many times smaller a file is than the first one."""
    files = setting["files"]
    return next(iter(files.values()))["gzip_kb"] / files[file]["gzip_kb"]


def files_table(setting: Setting) -> str:
    """Returns a table with a row for each file of the first seed's release."""
    title = setting["metrics"][setting["task_metric"]]
    lines = [("variant", title, "gzip kB", "times smaller")]
    for name, row in setting["files"].items():
        shown = f"**{name}**" if row["chosen"] else name
        ratio = f"{_ratio(setting, name):.1f}"
        lines.append(
            (shown, f"{row['metric']:.4f}", f"{row['gzip_kb']:.1f}", ratio)
        )
    return _table(lines)


def seeds_table(setting: Setting) -> str:
    """Returns a table with a row for each measured seed, and their mean."""
    lines = [("seed", *setting["metrics"].values())]
    rows = {seed: row for seed, row in setting["seeds"].items() if row}
    for seed, row in rows.items():
        lines.append((seed, *(_cell(row[key]) for key in setting["metrics"])))
    if len(rows) > 1:
        means = (
            np.mean([row[key]["value"] for row in rows.values()])
            for key in setting["metrics"]
        )
        lines.append(("**mean**", *(f"**{mean:.4f}**" for mean in means)))
    return _table(lines)


def _cell(figure: Figure) -> str:
    """Returns a figure with its interval, as a table shows it."""
    if "interval" not in figure:
        return f"{figure['value']:.4f}"
    low, high = figure["interval"]
    return f"{figure['value']:.4f} ({low:.4f} to {high:.4f})"


def _table(lines: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table; the first line is its header."""
    rows = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def tables(record: Mapping[str, Setting], app: str) -> dict[str, str]:
    """Returns the tables of an app, by the names in their markers."""
    contents = {}
    for name, setting in record.items():
        if setting["app"] == app:
            contents[name] = files_table(setting)
            contents[f"{name} seeds"] = seeds_table(setting)
    return contents


def fill(text: str, contents: Mapping[str, str]) -> str:
    """Returns a page with each table between its markers.

    Args:
        text: The page. `<!-- results: NAME -->`, on a line of its own, begins
            what is replaced; the next `<!-- end -->` ends it.
        contents: Tables by name. One without markers is not shown.

    Raises:
        InputError: If a marker has no table or no end.
    """
    parts = text.split("<!-- results: ")
    pages = [parts[0]]
    for part in parts[1:]:
        name, _, rest = part.partition(" -->\n")
        inside, end, after = rest.partition(END)
        if name not in contents or not end or "<!-- results: " in inside:
            raise InputError(
                f"the marker of {name.splitlines()[0]!r} must name one of "
                f"{', '.join(contents)} and be followed by {END}. Mend it."
            )
        pages.append(f"{name} -->\n{contents[name]}\n{END}{after}")
    return "<!-- results: ".join(pages)
