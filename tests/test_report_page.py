"""The page for readers: its sentence, its words, and how it is read."""

import html.parser
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib import ticker
from reports import SUBJECT, report_of_toys, variant

from common import variants
from common.report import page, plots, report, summary, terms

MEASURE = """<body><script>
const page = PAGE;
for (const width of WIDTHS) {
  const frame = document.createElement("iframe");
  frame.style.width = width + "px";
  frame.style.border = 0;
  frame.srcdoc = page;
  frame.onload = () => document.body.append("[" + width + " needs " +
    frame.contentDocument.documentElement.scrollWidth + "]");
  document.body.append(frame);
}</script>"""

EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>.csv'


class Tags(html.parser.HTMLParser):
    """Collects the tags of a page, each with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.all.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.all if name == tag]


def sentence(**changes) -> str:
    made = report_of_toys()
    made.update(changes)
    return summary.sentence(made, SUBJECT)


def test_the_sentence_says_what_was_learnt_how_well_and_what_ships() -> None:
    made = report_of_toys()
    assert made["summary"] == (
        "The model (small_net) learnt from 3 toys of <toy> & co which toy it "
        "is: on 3 toys kept for this test, its accuracy (the share of examples "
        "whose likeliest class is the true one) is 0.9000, against 0.1000 by "
        "the best of the simple methods (most frequent); what ships is the "
        "model for servers and, for phones, a file of 0.3 kB when zipped, 3.0 "
        "times smaller than uncompressed (weights of 8 bits, and computation "
        "where the layers allow it), whose accuracy on these is 0.9000."
    )
    html = page.render(made, [])
    assert html.index("0.1000 by the best") < html.index("<h2>")


def baseline(value: float) -> list[dict]:
    return [{"name": "guess", "metrics": {"accuracy": value}}]


def test_the_sentence_hides_no_baseline_that_is_better() -> None:
    assert "worse than the 0.9500 of a simple method" in sentence(
        baselines=baseline(0.95)
    )
    assert "no better than a simple method" in sentence(baselines=baseline(0.9))
    assert "no simpler method was measured" in sentence(baselines=[])
    # A part of the model is no method to compare it with.
    part = [row | {"part": True} for row in baseline(0.95)]
    assert "no simpler method was measured" in sentence(baselines=part)
    both = [*baseline(0.95), *baseline(0.8)]
    low = sentence(baselines=both, higher_is_better=False)
    assert "worse than the 0.8000" in low  # Of the two, it is the better.
    assert "against 0.9500" in sentence(
        baselines=baseline(0.95), higher_is_better=False
    )


def test_the_sentence_of_unusual_figures() -> None:
    metrics = {"test": {"accuracy": None}, "valid": {}}
    assert "is unknown, and no simpler" in sentence(metrics=metrics)
    only = [variant("float32", chosen=True, examples=2)]
    said = sentence(variants=only)
    assert said.endswith("bits), whose accuracy on 2 of these is 0.9000.")
    assert "times smaller" not in said
    assert "its own score is 0.9" in sentence(
        task_metric="own_score", metrics={"test": {"own_score": 0.9}}
    )


def test_every_step_of_a_file_has_words() -> None:
    known = {*variants.TECHNIQUES, *variants.FORMATS}
    assert known <= set(terms.PARTS)
    assert set(page.COLUMNS) - {"{metric}"} == set(terms.COLUMNS)
    assert terms.variant("prune+qat").startswith("the smallest weights")


def test_names_from_users_are_text_everywhere() -> None:
    made = report_of_toys()
    made["dataset"]["name"] = made["summary"] = made["title"] = EVIL
    made["notes"], made["classes"] = [EVIL], {"train": {EVIL: 3}}
    made["model"]["name"] = made["baselines"][0]["name"] = EVIL
    made["metrics"]["test"]["per_class"]["class"] = [EVIL, "b"]
    made["metrics"]["test"][EVIL] = 1.0
    made["config"]["dataset"] = EVIL
    plot = plots.learning_curves({"loss": [1.0]}, "accuracy")
    table = page.Table(EVIL, EVIL, [EVIL, EVIL], [[EVIL, EVIL]])
    tags = Tags(page.render(made, [table, (plot, b"png")]))
    assert not tags.named("script") and len(tags.named("img")) == 1
    assert not [
        name for _, attributes in tags.all for name in attributes
        if name.startswith("on")
    ]  # fmt: skip
    assert any(cell["data-label"] == EVIL for cell in tags.named("td"))
    # Were there a script all the same, the browser would not run it.
    policy = tags.named("meta")[1]["content"]
    assert policy is not None and policy.startswith("default-src 'none'")


def test_tables_and_pictures_are_marked_for_those_who_cannot_see() -> None:
    made = report_of_toys()
    sections = [
        (plots.learning_curves(made["history"], "accuracy"), b"png"),
        (plots.confusion(np.array([[5, 2], [0, 9]]), ["a", "<b>"]), b"png"),
    ]
    tags = Tags(page.render(made, sections))
    assert tags.named("html")[0]["lang"] == "en"
    assert {head["scope"] for head in tags.named("th")} == {"col", "row"}
    assert all("data-label" in cell for cell in tags.named("td"))
    curves, confusion = (image["alt"] for image in tags.named("img"))
    assert curves is not None and "validation loss 0.5000 to 0.6" in curves
    assert confusion is not None and "a taken for <b> 2 times" in confusion


def test_the_first_lines_name_date_model_and_shares() -> None:
    made = report_of_toys()
    html = page.render(made, [])
    for text in (made["date"], "small_net, 1,234 weights",
                 "a: 100.0%, &lt;b&gt;: 0.0%"):  # fmt: skip
        assert f"<dd>{text}</dd>" in html
    many = {f"class {i}": 1 + (i == 3) for i in range(9)}
    assert summary.shares(many) == (
        "9 classes, from 20.0% (class 3) to 10.0% (class 8)"
    )
    assert summary.shorten("x" * 30) == "x" * 23 + "…"


def luminance(colour: str) -> float:
    """Returns the relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4
        for x in parts
    ]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_texts_contrast_with_their_backgrounds_by_day_and_by_night() -> None:
    template = Path(page.__file__).with_name("parts.html").read_text("utf-8")
    themes = re.findall(r":root \{(.*?)\}", template, re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", theme))
        for text in ("ink", "soft"):
            for behind in ("paper", "panel", "mark"):
                pair = sorted(luminance(colours[k]) for k in (text, behind))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (
                    text,
                    behind,
                )


def drawn(plot: plots.Plot) -> Iterator:
    plot.figure.draw_without_rendering()
    yield from plot.figure.axes


@pytest.mark.parametrize("value", [0.86, 0.0, -3.0, 123456.0])
def test_charts_of_one_point_show_it_and_plain_numbers(value: float) -> None:
    one = [variant("float32", chosen=True, metric=value, gzip_bytes=702_345)]
    history = {"loss": [value], "val_loss": [value], "val_m": [value]}
    for plot in (
        plots.size_against_metric(one, "accuracy", 0.005),
        plots.learning_curves(history, "m"),
    ):
        for axes in drawn(plot):
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                ticks = [
                    x for x in axis.get_majorticklocs() if low <= x <= high
                ]
                assert ticks and axis.get_offset_text().get_text() == ""
                assert not isinstance(axis.get_major_formatter(),
                                      ticker.NullFormatter)  # fmt: skip
            assert axes.collections or all(
                line.get_marker() == "o" for line in axes.lines
            )


def test_small_differences_do_not_look_large() -> None:
    rows = [variant("float32", metric=0.86001), variant("int8", metric=0.86002)]
    plot = plots.size_against_metric(rows, "accuracy", 0.005)
    (axes,) = drawn(plot)
    low, high = axes.get_ylim()
    assert high - low > 0.005
    assert axes.yaxis.get_offset_text().get_text() == ""


def test_an_axis_writes_its_numbers_out() -> None:
    figure = plots.new_figure()
    axes = figure.subplots()
    axes.plot([1e9, 1e9 + 1], [0.86001, 0.86002])
    plots.style(axes)
    figure.draw_without_rendering()
    assert axes.xaxis.get_offset_text().get_text() == ""
    assert axes.yaxis.get_offset_text().get_text() == ""
    shown = [label.get_text() for label in axes.yaxis.get_ticklabels()]
    assert all(text.startswith("0.86") for text in shown)


def test_long_names_of_classes_leave_room_for_the_matrix() -> None:
    plot = plots.confusion(np.eye(2, dtype=int), ["a" * 200, "b"])
    labels = plot.figure.axes[0].get_yticklabels()
    assert labels[0].get_text() == "a" * 19 + "…"


@pytest.mark.slow  # A browser starts.
def test_nothing_is_cut_off_at_any_width(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("needs Chromium, which shows the page")
    made = report_of_toys()
    made["notes"] += ["x" * 500]
    made["metrics"]["test"] |= {
        f"card_precision@{i}": 123.456 for i in range(9)
    }
    thirteen = [
        "method",
        *(
            f"{name}@{k}"
            for k in (10, 20)
            for name in (
                "ndcg",
                "hr",
                "recall",
                "mrr",
                "coverage",
                "popularity",
            )
        ),
    ]
    wide = [f"average_precision@{i}" for i in range(20)]
    sections = [
        page.Table("Wide", "", wide, [[1234.5678] * 20] * 3),
        page.Table("13", "", thirteen, [["ItemKNN (300)", *[0.1234] * 12]]),
        page.Table("Long", "", ["a", "b"], [["y" * 300, "z" * 300]]),
    ]
    text = page.render(made, sections)
    widths = (360, 400, 599, 700, 760, 900, 1080, 1200)
    frame = tmp_path / "frames.html"
    # `</script>` in the page would end the script that holds it.
    content = json.dumps(text).replace("</", r"<\/")
    frame.write_text(
        MEASURE.replace("WIDTHS", str([*widths])).replace("PAGE", content),
        encoding="utf-8",
    )
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
         f"--user-data-dir={tmp_path / 'profile'}", frame.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    needs = re.findall(r"\[(\d+) needs (\d+)\]", done.stdout)
    assert sorted(int(width) for width, _ in needs) == list(widths)
    assert [pair for pair in needs if int(pair[1]) > int(pair[0])] == []


def test_a_report_is_rendered_the_same_from_its_file(tmp_path: Path) -> None:
    made = report_of_toys()
    report.write(tmp_path / "report", made, [])
    text = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert page.render(report.read(tmp_path), []) == text
