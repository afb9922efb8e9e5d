"""The model card: what it holds, and that names from users stay text."""

import json
from pathlib import Path

import markdown_it
import pytest
from reports import report_of_toys, variant

from common.report import card, metrics, report

EVIL = (
    "# <script>alert(1)</script> | <img src=x onerror=alert(2)> "
    "[a](javascript:b) ![c](d) `e` **f** _g_ ~~h~~ &lt; $i$ \\| j\n\n- k"
)


def html_of(text: str) -> str:
    """Returns Markdown as HTML, with tables; raw HTML would pass through."""
    parser = markdown_it.MarkdownIt("commonmark", {"html": True})
    return parser.enable(["table", "strikethrough"]).render(text)


def section(text: str, title: str) -> str:
    """Returns the part of a card below a heading, up to the next."""
    return text.split(f"# {title}\n")[1].split("\n#")[0]


@pytest.fixture
def made() -> report.Report:
    return report_of_toys()


def test_the_card_is_written_with_the_report_and_from_it_alone(
    made, tmp_path: Path
) -> None:
    report.write(tmp_path / "report", made, [])
    text = (tmp_path / "report" / card.NAME).read_text("utf-8")
    assert text == card.render(report.read(tmp_path))
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert f'<a href="{card.NAME}">' in page


def test_the_card_has_what_was_measured(made) -> None:
    made["use"], made["limits"] = "It sorts toys.", ["It knows no games."]
    made["config"]["license"] = "Apache-2.0"
    low, high = metrics.proportion_interval(0.9, 3)
    text = card.render(made)
    assert text.startswith("# Toys: &lt;toy&gt; &amp; co\n")
    assert "| network | small_net, 1,234 weights |" in text
    assert "| licence | Apache-2.0 |" in text
    limits = section(text, "Intended use and limits")
    assert "\nIt sorts toys.\n\n- It knows no games.\n- All figures" in limits
    assert "| &lt;b&gt; | 0 | 0 | 0 |" in section(text, "Data")
    interval = f"{low:.4f} to {high:.4f}"
    row = f"| accuracy | 0.9000 | {interval} | 0.9100 | the share of"
    assert row in section(text, "How good it is")
    baselines = section(text, "Against simple methods")
    assert f"| this model | 0.9000 | {interval} |" in baselines
    assert "| most frequent | 0.1000 |" in baselines
    assert "| &lt;b&gt; | 0.8000 |" in section(text, "By class")
    files = section(text, "Files for phones")
    assert "is the same as\nint8, the smallest" in files
    assert "| int8 | 0.9000 | 0.9100 | 0.0010 |" in files
    assert "- qat: an LSTM &lt;layer&gt;" in files
    cost = section(text, "Cost of training")
    assert "| seconds | 12.5 |" in cost and "| machine | " in cost
    assert f"| keras | {made['versions']['keras']} |" in text
    assert "- one repair" in section(text, "Notes")


def test_what_was_not_measured_is_left_out(made) -> None:
    made["classes"] = {}  # An accuracy may then be no share of examples.
    made["baselines"], made["notes"], made["refused_variants"] = [], [], []
    del made["metrics"]["test"]["per_class"]
    text = card.render(made)
    for title in ("interval", "Against", "By class", "Notes", "could not"):
        assert title not in text
    assert "None" not in text and "nan" not in text
    made["metrics"]["test"]["accuracy"] = None
    made["classes"] = {"train": {"a": 3}}
    assert "| accuracy | 0.9100 |" in card.render(made)


@pytest.mark.parametrize(
    "values",
    [
        {"auroc": 0.8, "auroc_low": 0.75, "auroc_high": 0.85},
        {"auroc": 0.8, "intervals": {"auroc": [0.75, 0.85]}},
    ],
    ids=["low and high", "intervals"],
)
def test_intervals_of_the_apps_stand_beside_their_figures(made, values) -> None:
    made["metrics"]["test"] = values
    made["task_metric"] = "auroc"
    made["baselines"] = [{"name": "guess", "metrics": values}]
    text = card.render(made)
    assert "| auroc | 0.8000 | 0.7500 to 0.8500 |" in text
    assert "| guess | 0.8000 | 0.7500 to 0.8500 |" in text
    assert "auroc_low" not in text


def test_names_from_users_are_text_in_markdown(made) -> None:
    made["dataset"]["name"] = made["summary"] = made["title"] = EVIL
    made["use"], made["limits"], made["notes"] = EVIL, [EVIL], [EVIL, "1. x"]
    made["classes"] = {"train": {EVIL: 3}}
    made["model"]["name"] = made["baselines"][0]["name"] = EVIL
    made["metrics"]["test"]["per_class"]["class"] = [EVIL, "b"]
    made["metrics"]["test"][EVIL] = 1.0
    html = html_of(card.render(made))
    tags = ("<script", "<img", "<em>", "<strong>", "<s>", "<code>e")
    assert not [tag for tag in tags if tag in html]
    assert html.count("<a ") == html.count('<a href="report.html">') == 1
    # Each text is there as it was written, on one line.
    one_line = json.dumps(" ".join(EVIL.split()))[1:-1].replace("\\\\", "\\")
    shown = one_line.replace("&", "&amp;").replace("<", "&lt;")
    shown = shown.replace(">", "&gt;").replace('\\"', "&quot;")
    assert html.count(f"<td>{shown}</td>") == 5
    assert f"<li>{shown}</li>" in html and "<li>1. x</li>" in html


def test_of_many_classes_the_weakest_are_shown(made) -> None:
    names = [f"class {number}" for number in range(60)]
    made["metrics"]["test"]["per_class"] = {
        "class": names,
        "f1": [number / 60 for number in range(60)],
        "recall": [0.5] * 60,
        "support": [7] * 60,
    }
    made["classes"] = {"train": dict.fromkeys(names, 1)}
    text = card.render(made)
    classes = section(text, "By class")
    assert "The 50 weakest of 60 classes." in classes
    assert "| class 49 |" in classes and "| class 50 |" not in classes
    assert "weakest of 60 classes is class 0: F1 0.0000, recall 0.5" in text
    assert "60 classes, from" in section(text, "Data")


def test_each_file_has_its_own_threshold_in_the_card(made) -> None:
    at = {"threshold": 0.25, "recall": 0.75}
    made["variants"] = [variant("float32", chosen=True, at_threshold=at)]
    assert "| float32 | 0.2500 | 0.7500 |" in card.render(made)
