"""A report that tests of the page and of the file share."""

import re

import numpy as np

from common.data.splits import MemorySplit, Splits
from common.report import report
from common.report.summary import Subject
from common.shared_options import Options
from common.training import fitting

SUBJECT = Subject("Toys", "small_net", "toys", "which toy it is")


def variant(name: str, **changes) -> dict:
    """Returns a row of `variants`."""
    base = {
        "name": name, "file": f"mobile/{name}.tflite", "metric": 0.9,
        "valid_metric": 0.91, "drop": 0.0, "bytes": 1000, "gzip_bytes": 900,
        "examples": 3, "sparsity": 0.0, "threads": 1,
        "latency_ms": {"p50": 0.1, "p95": 0.2},
        "ops": ["CONV_2D"], "max_abs_error": 0.0, "chosen": False,
    }  # fmt: skip
    return {**base, **changes}


def report_of_toys() -> report.Report:
    """Returns a report whose names would be markup if they were not escaped."""
    split = MemorySplit(np.zeros((3, 1)), np.zeros(3, np.int64))
    splits = Splits(
        "<toy> & co", ("a", "<b>"), split, split, split, notes=("one repair",)
    )
    history = {
        name: [0.5, 0.6]
        for name in ("loss", "val_loss", "accuracy", "val_accuracy")
    }
    return report.build(
        "image_classify", Options(), splits,
        subject=SUBJECT, num_weights=1234, task_metric="accuracy",
        metrics={
            "valid": {"accuracy": 0.91},
            "test": {
                "accuracy": 0.9,
                "per_class": {"class": ["a", "<b>"], "recall": [1.0, 0.8]},
            },
        },
        log=fitting.Log(history, 12.5, 480.0),
        variants=[
            variant("float32"),
            variant("int8", gzip_bytes=300, drop=0.001, chosen=True),
        ],
        refused=[{"name": "qat", "reason": "an LSTM <layer>"}],
        serving={
            "signatures": {
                "serving_default": {
                    "inputs": {"x": {"dtype": "string", "shape": [None]}},
                    "outputs": {},
                }
            },
            "max_abs_error": 1e-7,
        },
        baselines=[{"name": "most frequent", "metrics": {"accuracy": 0.1}}],
    )  # fmt: skip


def unexplained(result: report.Report) -> set[str]:
    """Returns the figures of a report that no phrase explains."""
    figures = {
        name
        for values in result["metrics"].values()
        for name, value in values.items()
        if isinstance(value, float)
    }
    return figures - set(result["terms"])


def rows_of(html: str, title: str) -> list[list[str]]:
    """Returns the cells of a page's table, those that are not empty."""
    table = html.split(f"<h2>{title}</h2>")[1].split("</tbody>")[0]
    rows = table.split("<tbody>")[1].split("<tr>")[1:]
    return [re.findall(r">([^<>]+)</t[hd]>", row) for row in rows]
