"""The embedded server gives TF Serving's answers, or says why it does not."""

import collections
import sys
from pathlib import Path

import pytest

from benchmarks import serving_conformance as benchmark
from benchmarks.conformance import cases

ROOT = Path(__file__).resolve().parents[1]
CLOSED = "127.0.0.1:1"  # A port at which no server listens.


@pytest.fixture(scope="module")
def results() -> list[benchmark.Result]:
    """Gives the results of all cases, asked of the embedded server."""
    with benchmark.embedded() as urls:
        return benchmark.ask(urls)


def test_no_answer_differs_but_on_purpose(results) -> None:
    kinds = collections.Counter(result.kind for result in results)
    assert [row for row in results if row.kind == "differs"] == []
    assert kinds["equal"] >= 300
    # A purpose whose difference is gone must go too.
    asked = [*benchmark.rest_cases(), *benchmark.grpc_cases.cases()]
    assert kinds["on purpose"] == sum(
        case.purpose is not None for case in asked
    )


def test_every_case_has_its_own_name(results) -> None:
    names = collections.Counter(result.name for result in results)
    assert [name for name, count in names.items() if count > 1] == []


def test_the_page_has_the_table_of_what_differs_on_purpose() -> None:
    page = (ROOT / "docs" / "serving.md").read_text("utf-8")
    assert "\n".join(benchmark.on_purpose()) in page
    count = len(benchmark.rest_cases()) + len(benchmark.grpc_cases.cases())
    assert f"asks a server {count} requests" in page


def test_a_server_that_does_not_answer_differs(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["x", f"--server=http://{CLOSED}"])
    assert benchmark.main() == 1
    cases_of_rest = len(benchmark.rest_cases())
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"{cases_of_rest} cases: {cases_of_rest} differs"


@pytest.mark.parametrize(
    ("status", "answer", "is_right"),
    [
        (200, {"outputs": [1.0]}, True),
        (200, {"outputs": [1.00000001]}, True),
        (200, {"outputs": [1.1]}, False),
        (200, {"outputs": [True]}, False),
        (200, {"outputs": 1.0}, False),
        (200, {"outputs": [1.0], "more": 1}, False),
        (200, None, False),
    ],
)
def test_a_wrong_answer_is_seen(status, answer, is_right) -> None:
    case = cases.predict("x", {}, answer={"outputs": [1.0]})
    assert benchmark.is_right(case, status, answer) is is_right


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ({"error": "no input z"}, True),
        ({"error": "no input"}, False),
        ({"error": ["z"]}, False),
        ({"message": "z"}, False),
        (None, False),
    ],
)
def test_a_wrong_error_is_seen(answer, is_right) -> None:
    case = cases.predict("x", {}, 400, mentions="z")
    assert benchmark.is_right(case, 400, answer) is is_right
