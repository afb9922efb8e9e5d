"""Releases of public schemas: trained, asked, and judged on fresh files."""

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from interaction_schemas import SCHEMAS, retail

from apps.recommender import predict
from apps.recommender import train as app
from common import program, runtime
from common.release import served
from common.serving import embedded

TINY = {
    "history": 8, "dim": 8, "blocks": 1, "epochs": 1, "k": 5,
    "batch_size": 32, "baselines": False, "variants": ("float32",),
    "max_drop": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        name
        if name == "movielens_1m"
        else pytest.param(name, marks=pytest.mark.slow)
        for name in SCHEMAS
    ],
)
def test_a_schema_runs_end_to_end(name, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    dataset, options, expected = SCHEMAS[name][0](tmp_path)
    runtime.start(0)
    result = app.run(app.Config(dataset=dataset, **options, **TINY))
    sizes = result["dataset"]
    assert sizes["users"] == len({user for user, _ in expected})
    assert sizes["items"] == len({item for _, item in expected})
    printed = capsys.readouterr().out
    assert printed.startswith(f"{dataset}: {sizes['users']} users, ")
    assert any("count as taken" in note for note in result["notes"])
    release = "saved_models/recommender/1"
    user = sorted(expected)[0][0]
    program.run(
        app.Config(
            mode="predict", release=release, inputs=f"{user}, nobody",
            output="lists.json",
        )
    )  # fmt: skip
    rows = json.loads(Path("lists.json").read_text())
    assert {(row["for"], row["known"]) for row in rows} == {
        (user, True), ("nobody", False),
    }  # fmt: skip
    assert not {row["item_id"] for row in rows if row["known"]} & {
        item for who, item in expected if who == user
    }
    assert "1 of 2 users are unknown" in capsys.readouterr().out
    # The file that it was trained on, called otherwise, is a fresh one.
    Path(f"new_{dataset}").write_bytes(Path(dataset).read_bytes())
    program.run(
        app.Config(mode="evaluate", release=release, dataset=f"new_{dataset}")
    )
    printed = json.loads(capsys.readouterr().out)
    assert printed["split"] == "all" and 0 <= printed["ndcg@10"] <= 1


@pytest.fixture(scope="module")
def shop(home) -> Iterator[Path]:
    """Gives a release of the shop's invoices."""
    dataset, options, _ = retail(home)
    with contextlib.chdir(home):
        runtime.start(0)
        with contextlib.redirect_stdout(io.StringIO()):
            app.run(app.Config(dataset=dataset, **options, **TINY))
    return home / "saved_models"


KINDS = ["local", "http", "grpc"]


@contextlib.contextmanager
def connected(kind: str, shop: Path) -> Iterator[predict.Recommender]:
    """Gives the release, or a client of a server and no copy of the release."""
    if kind == "local":
        yield predict.Recommender(served.Local(shop / "recommender" / "1"))
        return
    with embedded.serving(shop, tell=lambda line: None) as server:
        port = server.rest_port if kind == "http" else server.grpc_port
        config = app.Config(
            mode="predict", server=f"{kind}://localhost:{port}",
            export_dir="no copies",
        )  # fmt: skip
        yield predict.Recommender(served.connect(config, app.APP))


def test_ids_may_have_the_point_of_a_spreadsheet(shop, tmp_path) -> None:
    output = tmp_path / "lists.json"
    config = app.Config(
        mode="predict", inputs="17851.0,17850", output=str(output)
    )
    with connected(KINDS[0], shop) as recommender:
        predict.predict_users(recommender, config)
    rows = json.loads(output.read_text())
    assert {row["for"] for row in rows} == {"17851", "17850"}
    assert all(row["known"] for row in rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_an_unknown_user_is_said_to_be_unknown(
    kind, suffix, shop, tmp_path, capsys
) -> None:
    output = tmp_path / f"lists{suffix}"
    config = app.Config(
        mode="predict", inputs="nobody, 17851,17850.5", output=str(output)
    )
    with connected(kind, shop) as recommender:
        predict.predict_users(recommender, config)
    if suffix == ".csv":
        with output.open(newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = json.loads(output.read_text())
    known = {row["for"]: str(row["known"]) for row in rows}
    assert known == {"nobody": "False", "17851": "True", "17850.5": "False"}
    lists = {
        name: [row["item_id"] for row in rows if row["for"] == name]
        for name in known
    }
    assert lists["nobody"] == lists["17850.5"] != lists["17851"]
    said = capsys.readouterr().out
    assert (
        "2 of 3 users are unknown and get the most popular items: nobody, "
        "17850.5"
    ) in said


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_items_of_a_history_are_counted(
    kind, shop, tmp_path, capsys
) -> None:
    output = tmp_path / "lists.json"
    config = app.Config(mode="predict", output=str(output))
    with connected(kind, shop) as recommender:
        for items, num in (("85001A, 85002A", 0), ("85001A,x,y", 2), ("x", 1)):
            one = config.replace(inputs=f"history:{items}")
            predict.predict_users(recommender, one)
            rows = json.loads(output.read_text())
            assert {row["unknown_items"] for row in rows} == {num}
            said = capsys.readouterr().out
            assert ("unknown and were passed over" in said) == bool(num)
            assert ("most popular" in said) == (items == "x")


def test_an_earlier_release_says_nothing_of_users(tmp_path, capsys) -> None:
    class Earlier:
        has_files = False

        def __call__(self, signature: str = "", **inputs) -> dict:
            text = np.array([[b"1"]], object)
            return {
                "item_ids": text, "titles": text, "scores": np.ones((1, 1)),
            }  # fmt: skip

    recommender, output = predict.Recommender(Earlier()), tmp_path / "a.json"
    config = app.Config(mode="predict", inputs="ann", output=str(output))
    for inputs in ("ann", "history:1"):
        predict.predict_users(recommender, config.replace(inputs=inputs))
        assert "known" not in str(output.read_text())
    assert "unknown" not in capsys.readouterr().out
