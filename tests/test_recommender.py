"""The app, from data to release, on the embedded data."""

import json
import subprocess
import sys
import types
from pathlib import Path

import compiled_models
import demo_pages
import keras
import numpy as np
import pytest
import tflite_metadata
from reports import unexplained

from apps.recommender import mobile, predict, quality
from apps.recommender import train as app
from common import program
from common.mobile import litert
from common.options import InputError, as_trained
from common.release import served
from common.report import report

TINY = {
    "dataset": "tastes",
    "model": "two_tower",
    "protocol": "random_75_25",
    "epochs": 3,
    "learning_rate": 0.01,
    "batch_size": 64,
    "history": 64,
    "dim": 16,
    "wide": 5.0,
    "refit": True,
    "sparsity": 0.5,
    "finetune_epochs": 1,
    "variants": ("float32", "prune+int8"),
    "max_drop": 1.0,
}


@pytest.fixture(scope="module")
def protocol(released):
    return app.load_data(app.Config(**TINY))


def test_the_model_learns_and_baselines_are_beside_it(released) -> None:
    result, _ = released
    figures = {row["name"]: row["metrics"] for row in result["baselines"]}
    test = result["metrics"]["test"]
    assert test["ndcg@10"] > figures["most popular"]["ndcg@10"]
    assert {"ItemKNN (300)", "EASE (400)"} <= set(figures)
    assert {*test} == {*figures["EASE (400)"]}
    low, high = test["intervals"]["ndcg@10"]
    assert low < test["ndcg@10"] < high
    assert result["dataset"]["protocol"] == "random_75_25"
    assert result["history"]["loss"][-1] < result["history"]["loss"][0]


def test_the_files_tell_what_they_are(released) -> None:
    facts = tflite_metadata.check(released[1])
    assert facts["name"] == app.APP
    assert all(row["metadata_bytes"] for row in released[0]["variants"])


def test_the_newer_runtime_gives_the_same_outputs(released) -> None:
    compiled_models.check(released[1])


def test_the_release_is_whole(released, protocol) -> None:
    result, release = released
    names = {str(p.relative_to(release)) for p in release.rglob("*")}
    assert {
        "saved_model.pb", "fingerprint.pb", "model.keras",
        "mobile/model.tflite", "mobile/prune+int8.tflite", "mobile/items.csv",
        "report/report.json", "report/report.html", "report/model_card.md",
        "report/baselines.png",
        "report/learning_curves.png",
    } <= names  # fmt: skip
    assert report.read(release) == json.loads(json.dumps(result))
    assert unexplained(result) == set()
    assert "interactions of tastes" in result["summary"]
    lines = (release / "mobile" / "items.csv").read_text().splitlines()
    ids, titles = protocol.data.catalogue.ids, protocol.data.catalogue.titles
    assert lines[:2] == ["index,item_id,title", f"1,{ids[1]},{titles[1]}"]
    assert len(lines) == len(ids)
    page = (release / "report" / "report.html").read_text()
    assert "By activity" in page and "A few users" in page


def test_every_variant_was_measured_on_its_file(released, protocol) -> None:
    result, release = released
    for row in result["variants"]:
        content = (release / row["file"]).read_bytes()
        runner, lists, wanted = litert.Runner(content), [], []
        width = runner.inputs["history"]["shape"][1]
        for inputs, targets in mobile.batches(protocol.test, width):
            lists.append(runner(**inputs)["indices"])
            wanted.append(targets)
        metric = quality.ndcg_of_padded(
            np.concatenate(lists), np.concatenate(wanted)
        )
        assert row["metric"] == pytest.approx(metric), row["name"]
        assert not any("Flex" in name for name in row["ops"])
        if row["name"] == "float32":
            # No users' vectors are trained less than the whole is.
            assert row["max_abs_error"] == 0.0
    sizes = [row["gzip_bytes"] for row in result["variants"]]
    assert sizes[0] > 4 * sizes[1]


CODE = """
import json, sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
users = model.signatures["serving_default"](
    user_id=tf.constant(json.loads(sys.argv[2])))
items = model.signatures["history"](
    item_ids=tf.constant(json.loads(sys.argv[3])))
print(json.dumps([
    {k: v.numpy().astype(str).tolist() for k, v in answer.items()}
    for answer in (users, items)]))
"""


@pytest.fixture(scope="module")
def answers(released, protocol) -> tuple[dict, dict]:
    """A known and an unknown user; a history, one with unknown, an empty."""
    _, release = released
    ids = protocol.data.catalogue.ids
    requests = (
        [protocol.data.user_ids[3], "nobody"],
        [[ids[5], ids[6], ""], [ids[5], "nothing", ids[6]], ["", "", ""]],
    )
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(release), *map(json.dumps, requests)],
        capture_output=True, check=True, cwd=release,
    )  # fmt: skip
    users, histories = json.loads(done.stdout)
    return users, histories


def popular(protocol) -> list[str]:
    counts = np.bincount(protocol.data.items.values)
    order = np.argsort(-counts, kind="stable")[:20]
    return [protocol.data.catalogue.ids[item] for item in order]


def test_a_known_user_gets_nothing_seen(answers, protocol) -> None:
    users, _ = answers
    seen = {protocol.data.catalogue.ids[i] for i in protocol.data.items[3]}
    items = users["item_ids"][0]
    assert len(set(items)) == 20 and not seen & set(items) and "" not in items
    scores = [float(score) for score in users["scores"][0]]
    assert scores == sorted(scores, reverse=True)
    catalogue = protocol.data.catalogue
    titles = dict(zip(catalogue.ids, catalogue.titles, strict=True))
    assert users["titles"][0] == [titles[item] for item in items]


def test_an_unknown_user_gets_popular_items(answers, protocol) -> None:
    users, histories = answers
    assert users["item_ids"][1] == popular(protocol)
    assert histories["item_ids"][2] == popular(protocol)


def test_unknown_items_of_a_history_are_passed_over(answers, protocol) -> None:
    _, histories = answers
    items, same = histories["item_ids"][:2]
    assert items == same and items != popular(protocol)
    ids = protocol.data.catalogue.ids
    assert not {ids[5], ids[6], ""} & set(items)


def test_the_model_file_loads_safely_and_agrees(released, protocol) -> None:
    _, release = released
    model = keras.saving.load_model(release / "model.keras", safe_mode=True)
    lists = app.evaluate(model, protocol.test)
    assert quality.ndcg(lists, protocol.test) == pytest.approx(
        report.read(release)["metrics"]["test"]["ndcg@10"]
    )


def test_evaluate_gives_the_reports_figures(released, protocol) -> None:
    result, release = released
    figures = predict.evaluate(
        predict.Recommender(served.Local(release)), protocol
    )
    for name in ("ndcg@10", "hr@20", "recall@10"):
        # By history alone: without the users' own vectors.
        expected = pytest.approx(result["metrics"]["test"][name], abs=0.01)
        assert figures[name] == expected


def test_evaluate_judges_all_users_of_a_table_that_is_named(
    released, protocol, tmp_path, capsys
) -> None:
    _, release = released
    ids, items = protocol.data.catalogue.ids, protocol.data.items
    rows = [f"new-{user},{ids[item]}" for user in range(30)
            for item in items[user]]  # fmt: skip
    table = tmp_path / "fresh.csv"
    table.write_text("\n".join(["user_id,item_id", *rows, "x,?", "x,??", ""]))
    config = app.Config(
        mode="evaluate", release=str(release), dataset=str(table)
    )
    program.run(config)
    printed = json.loads(capsys.readouterr().out)
    assert printed["dataset"] == f"{table}, random_75_25"
    assert (printed["split"], printed["users"]) == ("all", 31)
    quarter = np.maximum(np.round(items.lengths[:30] / 4), 1).sum()
    assert printed["examples"] == quarter + 1
    assert 0 < printed["ndcg@10"] < 1 and 0 < printed["coverage@10"] <= 1
    assert printed["popularity@10"] is None
    assert "popularity@20" in printed["not_computed"]
    assert any("does not know" in note for note in printed["notes"])
    with pytest.raises(InputError, match="must be a file"):
        program.run(config.replace(dataset="none.csv"))


def test_predict_for_users_files_and_histories(
    released, protocol, tmp_path, capsys
) -> None:
    _, release = released
    recommender = predict.Recommender(served.Local(release))
    output, file = tmp_path / "found.json", tmp_path / "users.txt"
    file.write_text("user-1\nnobody\n")
    options = app.Config(mode="predict", output=str(output))
    predict.predict_users(recommender, options.replace(inputs=str(file)))
    rows = json.loads(output.read_text())
    assert {row["for"] for row in rows} == {"user-1", "nobody"}
    assert len(rows) == 40 and rows[20]["item_id"] == popular(protocol)[0]
    assert rows[0]["title"].split()[0] in capsys.readouterr().out
    options = options.replace(inputs="history:film-3,film-4")
    predict.predict_users(recommender, options)
    items = {row["item_id"] for row in json.loads(output.read_text())}
    assert len(items) == 20 and not {"film-3", "film-4"} & items


def test_explain_says_which_items_moved_a_list(
    released, protocol, tmp_path
) -> None:
    _, release = released
    output, page = tmp_path / "why.json", tmp_path / "why.html"
    options = app.Config(
        mode="explain", release=str(release), output=str(output),
        page=str(page),
    )  # fmt: skip
    recommender = predict.Recommender(served.Local(release))
    user = protocol.data.user_ids[3]
    taken = {
        protocol.data.catalogue.ids[item] for item in protocol.data.items[3]
    }
    lists = recommender.users([user])["item_ids"][0].tolist()
    program.run(options.replace(inputs=f"{user},nobody"))
    rows = json.loads(output.read_text())
    mine = [row for row in rows if row["for"] == user]
    assert list(dict.fromkeys(row["item_id"] for row in mine)) == [
        id.decode() for id in lists
    ]
    assert {row["because"] for row in mine} <= taken
    assert all(row["effect"] and row["because_title"] for row in mine)
    assert {row["because"] for row in rows if row["for"] == "nobody"} == {""}
    program.run(options.replace(inputs="history:film-3,film-4,none"))
    rows = json.loads(output.read_text())
    assert {row["because"] for row in rows} == {"film-3", "film-4"}
    # The effect is that of asking for the list without the item.
    (best, *_) = (row for row in rows if row["because"] == "film-3")
    answer = recommender.histories([["film-4"]])
    scores = dict(zip(answer["item_ids"][0], answer["scores"][0], strict=True))
    without = scores.get(best["item_id"].encode())
    if without is not None:
        assert best["score"] - without == pytest.approx(
            best["effect"], abs=1e-4
        )
    assert best["title"] in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("encoding", "given"),
    [("utf-8-sig", ""), ("utf-16", ""), ("cp1252", "windows-1252"),
     ("utf-8", "windows-1252")],
)  # fmt: skip
def test_a_file_of_users_may_have_any_encoding(
    encoding, given, released, tmp_path
) -> None:
    _, release = released
    recommender = predict.Recommender(served.Local(release))
    output, file = tmp_path / "lists.json", tmp_path / "users.txt"
    file.write_text("user-1\nZoé\n", encoding)
    options = app.Config(
        mode="predict", inputs=str(file), output=str(output), encoding=given
    )
    predict.predict_users(recommender, options)
    rows = json.loads(output.read_text())
    assert {row["for"] for row in rows} == {"user-1", "Zoé"}
    file.write_text("Zoé\n", "cp1252")
    with pytest.raises(InputError, match="pass --encoding=windows-1252"):
        predict.predict_users(recommender, options.replace(encoding=""))


def test_bad_requests_get_one_line(released, tmp_path) -> None:
    _, release = released
    recommender = predict.Recommender(served.Local(release))
    options = app.Config(mode="predict")
    with pytest.raises(InputError, match="received nothing"):
        predict.predict_users(recommender, options)
    empty = tmp_path / "users.txt"
    empty.write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        predict.predict_users(recommender, options.replace(inputs=str(empty)))
    with pytest.raises(InputError, match="must be of recommender"):
        predict.Recommender(
            types.SimpleNamespace(has_files=True, release=tmp_path)
        )
    trained = report.read(release)["config"]
    same = as_trained(app.Config(mode="evaluate"), trained)
    assert same.protocol == "random_75_25" and same.dataset == "tastes"
    with pytest.raises(InputError, match="must be the release's, tastes"):
        predict.check_dataset("movielens/100k-ratings", trained)


@pytest.mark.slow
def test_a_table_of_your_own_without_ratings(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [
        f"client-{user},sku/{item}"
        for user in range(30)
        for item in rng.permutation(25)[:8]
    ]
    Path("mine.csv").write_text("customer,product\n" + "\n".join(rows) + "\n")
    result = app.run(
        app.Config(
            dataset="mine.csv", user_column="customer", item_column="product",
            k_core=2, k=5, epochs=6, history=8, dim=8, blocks=1,
            variants=("float32",), baselines=False,
            learning_rate=1e-8, patience=1,
        )
    )  # fmt: skip
    # Nothing is learnt at that rate.
    assert result["training"]["epochs"] == 2
    assert result["dataset"]["users"] == 30 and not result["baselines"]
    recommender = predict.Recommender(
        served.Local(Path("saved_models/recommender/1"))
    )
    items = recommender.users(["client-0", "new client"])["item_ids"]
    assert items.shape == (2, 5) and items[0, 0].startswith(b"sku/")


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["float32", "prune+int8"])
def test_a_browser_runs_the_files(released, browser, variant) -> None:
    _, release = released
    file = release / "mobile" / f"{variant}.tflite"
    shape = litert.Runner(file.read_bytes()).inputs["history"]["shape"]
    history = np.zeros((3, shape[1]), np.int32)
    history[0, -1:], history[1, -3:], history[2] = 7, (1, 2, 3), 5
    with demo_pages.opened(browser, release, variant) as state:
        assert state == ""
        demo_pages.check_runs(browser, file, {"history": history})
        shown = demo_pages.ask(
            browser,
            """for (const words of ["no. 0", "no. 1"]) {
              document.getElementById("search").value = words;
              document.getElementById("add").click();
            }""",
        )
        if variant == "float32":
            assert shown["difference"] < 1e-5
        # A header, and the list.
        assert shown["phone"].count("Generated") == 20
        assert shown["savedModel"].count("Generated") == 20
