"""A user's own tables: three classes end to end, and what is refused."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from apps.recommender import predict as users
from apps.text_sentiment import corpus, data, labels, predict
from apps.text_sentiment import train as app
from common import program, runtime
from common.options import InputError
from common.release import served

CLASSES = ("bad & worse", "fine", "très bien")
WORDS = (("awful", "poor"), ("plain", "usual"), ("superb", "lovely"))


def rows(num: int, seed: int = 0) -> str:
    """Returns a CSV of three classes; some texts are quoted, one is empty."""
    rng, lines = np.random.default_rng(seed), ["id,review,stars"]
    for index in range(num):
        label = index % 3
        word = WORDS[label][rng.integers(2)]
        text = f'"It was {word}, I\nthink 😀"' if index else ""
        lines.append(f"{index},{text},{CLASSES[label]}")
    return "\n".join(lines) + "\n"


def options(path: Path, **changes) -> app.Config:
    fields = {
        "dataset": str(path), "text_column": "review", "label_column": "stars",
        "max_tokens": 12, "embedding_dim": 8, "units": 8, "bidirectional": True,
        "num_pairs": 0, "vectors": False, "epochs": 6,
        "batch_size": 8, "learning_rate": 0.02, "vocabulary_size": 13,
        "variants": ("float32",),
        "export_dir": str(path.parent / "out"),
        "work_dir": str(path.parent / "runs"), **changes,
    }  # fmt: skip
    return app.Config(**fields)


@pytest.mark.slow
def test_three_classes_of_a_csv_end_to_end(
    tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_text(rows(150), encoding="utf-8")
    (tmp_path / "test.csv").write_text(rows(30, 1), encoding="utf-8")
    config = options(
        tmp_path / "train.csv", test_file=str(tmp_path / "test.csv"),
        slice_by=("stars",),
    )  # fmt: skip
    runtime.start(0)
    result = app.run(config)
    assert result["dataset"] == {
        "name": "train.csv", "train": 135, "valid": 15, "test": 30,
    }  # fmt: skip
    assert result["metrics"]["test"]["accuracy"] > 0.9
    assert result["metrics"]["test"]["per_class"]["class"] == list(CLASSES)
    groups = result["slices"]["by"]["stars"]
    assert [row["group"] for row in groups] == list(CLASSES)
    assert [row["test"]["examples"] for row in groups] == [10, 10, 10]
    assert "The worst of 3 slices is stars: " in result["worst_slice"]
    assert any("1 without a word" in note for note in result["notes"])
    assert len(result["baselines"]) == 2  # No linear path to tell of.
    for row in result["variants"]:
        assert not row["stateful"]
        assert row["metric"] > 0.9
    release = Path(config.export_dir) / "text_sentiment" / "1"
    phone = predict.Classifier(served.Local(release), "float32")
    _, labels = phone(["It was lovely", "Poor."])
    assert labels == ("très bien", "bad & worse")
    assert len((release / "mobile/vocab.txt").read_text().splitlines()) == 13
    capsys.readouterr()
    program.run(
        config.replace(mode="evaluate", dataset="", release=str(release))
    )
    again = json.loads(capsys.readouterr().out)
    assert again["examples"] == 30
    accuracies = [
        [row["test"]["accuracy"] for row in of["by"]["stars"]]
        for of in (again["slices"], result["slices"])
    ]
    assert accuracies[0] == accuracies[1]
    # A file that is named is judged whole; it may be of one class only.
    fresh = tmp_path / "fresh.csv"
    fresh.write_text("review,stars\nLovely,très bien\nPoor,très bien\n")
    for changes in ({"dataset": str(fresh)}, {"test_file": str(fresh)}):
        program.run(
            app.Config(mode="evaluate", release=str(release), **changes)
        )  # The columns are the release's.
        printed = json.loads(capsys.readouterr().out)
        assert (printed["dataset"], printed["examples"]) == ("fresh.csv", 2)
        assert (printed["split"], printed["accuracy"]) == ("all", 0.5)
        assert printed["roc_auc"] is None and printed["macro_f1"] > 0
        assert "one class" in printed["not_computed"]["roc_auc"]
    fresh.write_text("review,stars\nLovely,fine\nPoor,six\n")
    with pytest.raises(InputError, match=r"classes.*row 2 of .* has 'six'"):
        program.run(
            app.Config(
                mode="evaluate", release=str(release), dataset=str(fresh)
            )
        )
    sentiment = app.Config(dataset="generated_reviews", data_dir=str(tmp_path))
    with pytest.raises(InputError, match="must have the release's classes"):
        predict.evaluate(
            predict.Classifier(served.Local(release)), app.load_texts(sentiment)
        )
    # The release's test file goes with its own data only.
    with pytest.raises(InputError, match="the release's classes"):
        program.run(
            app.Config(
                mode="evaluate", release=str(release),
                dataset="generated_reviews",
            )
        )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "changes", "words"),
    [
        (rows(30), {"label_column": "grade"}, "one column called grade"),
        (rows(30), {"text_column": "text"}, "one column called text"),
        ("", {}, "must have rows"),
        ("id,review,stars\n", {}, "must have rows"),
        ("review,stars\na,fine\nb,fine\n", {}, "only 'fine'"),
        ("review,stars\na,\nb,\n", {}, "a class in some rows"),
        (b"review,stars\n\xff\xfe,fine\nb,bad\n", {}, "(?i)utf-?8"),
        ("review,stars\na,fine\nb,bad\n", {}, "3 rows or more of each class"),
        (rows(30), {"pretrain": "unsupervised"}, "--pretrain must be a file"),
        (rows(30), {"test_file": "no.csv"}, "--test_file must be a file"),
        (rows(30), {"pretrain": "no.csv"}, "--pretrain must be a file"),
        ('review,stars\na,"x\ny"\nb,bad\n', {}, "printable classes"),
    ],
)
def test_bad_tables_are_refused_in_one_line(
    tmp_path, content, changes, words
) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    with pytest.raises(InputError, match=words) as error:
        app.load_texts(options(path, **changes))
    assert "\n" not in str(error.value)


def test_an_unknown_label_in_the_test_file_is_named(tmp_path) -> None:
    (tmp_path / "train.csv").write_text(rows(30))
    (tmp_path / "test.csv").write_text("review,stars\na,fine\nb,six\n")
    config = options(
        tmp_path / "train.csv", test_file=str(tmp_path / "test.csv")
    )
    with pytest.raises(InputError, match=r"row 2 of .*test\.csv has 'six'"):
        app.load_texts(config)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "missing/"}, "must be a TFDS name or a file"),
        ({"dataset": "digits"}, "must have a text and a class label"),
        ({"dataset": "generated_reviews", "test_file": "x.csv"}, "--test_file"),
        (
            {"dataset": "generated_reviews", "pretrain": "more"},
            "a split .*unsupervised",
        ),
    ],
)
def test_bad_sources_are_refused(tmp_path, monkeypatch, changes, words) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        app.load_texts(app.Config(**changes))


def test_a_file_is_split_by_the_seed_and_more_texts_add_words(tmp_path) -> None:
    path, more = tmp_path / "data.csv", tmp_path / "more.jsonl"
    path.write_text(rows(60), encoding="utf-8")
    more.write_text('{"review": "zebra zebra"}\n' * 3, encoding="utf-8")
    config = options(path, vocabulary_size=50)
    splits, same = app.load_data(config), app.load_data(config)
    assert splits.digest() == same.digest()
    assert splits.digest() != app.load_data(config.replace(seed=1)).digest()
    sizes = [
        len(splits.corpus.splits[k].texts) for k in ("train", "valid", "test")
    ]
    assert sizes == [48, 6, 6]
    larger = app.load_data(config.replace(pretrain=str(more)))
    assert "zebra" in larger.tokenizer.vocabulary
    assert "zebra" not in splits.tokenizer.vocabulary


def test_classes_that_are_numbers_are_in_their_own_order(tmp_path) -> None:
    path = tmp_path / "data.tsv"
    lines = [f"text {i}\t{(i % 3) * 5 - 5}" for i in range(40)]
    path.write_text("\n".join(["review\tstars", *lines]))
    assert app.load_texts(options(path)).class_names == ("-5", "0", "5")


def test_classes_that_are_equal_or_no_numbers_have_an_order() -> None:
    assert labels.ordered(["1", "01", "-1"]) == ("-1", "01", "1")
    assert labels.ordered(["--5", "2", "10"]) == ("--5", "10", "2")


@pytest.mark.parametrize("inputs", ["no.csv", "\udcff"])
def test_inputs_that_cannot_be_read_are_named(inputs) -> None:
    with pytest.raises(InputError, match="--inputs must be") as error:
        predict.read(inputs, "text")
    assert "\n" not in str(error.value)


def test_the_census_counts_what_the_texts_hold() -> None:
    texts = ["Good<br />film 😀", "", "a b c d e f g h i", "unheard"]
    parts = corpus.Texts(texts, np.array([0, 1, 0, 1]))
    splits = data.tokenize(
        corpus.Corpus("x", ("a", "b"), dict.fromkeys(
            ("train", "valid", "test"), parts
        )), 100, 8,
    )  # fmt: skip
    assert (
        "test: 4 texts, 1 without a word, 1 of more than 8 tokens, 1 with "
        "emoji, 1 with HTML, 0.0% unknown tokens"
    ) in splits.notes


def test_a_release_judges_all_of_a_file(tmp_path) -> None:
    path = tmp_path / "fresh.csv"
    path.write_text(rows(31), encoding="utf-8")
    loaded = app.load_texts(options(path), "dataset", ("none", *CLASSES))
    assert loaded.class_names == ("none", *CLASSES)
    assert loaded.judged == "all" and set(loaded.splits) == {"test"}
    test = loaded.splits["test"]
    assert np.bincount(test.labels).tolist() == [0, 11, 10, 10]
    assert test.texts[0] == ""
    with pytest.raises(InputError, match="--dataset must have the release's"):
        app.load_texts(options(path), "dataset", CLASSES[:2])


def test_only_line_ends_part_texts(tmp_path: Path) -> None:
    path = tmp_path / "reviews.txt"
    path.write_bytes("\ufeffa\x85b\u2028c\fd\r\ngood\nbad\n".encode())
    assert list(predict.read(str(path), "text")) == [
        "a\x85b\u2028c\fd",
        "good",
        "bad",
    ]


@pytest.mark.parametrize("name", ["reviews.txt", "./reviews", "/dev/null"])
def test_a_mistyped_file_name_is_no_text(name: str) -> None:
    with pytest.raises(InputError, match="looks like a path"):
        predict.read(name, "text")
    (text,) = predict.read("10/10 would watch", "text")
    assert text == "10/10 would watch"


@pytest.mark.parametrize("name", ["rows.json", "rows.ndjson"])
def test_json_is_a_table(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('{"text": "good"}\n{"text": "bad"}\n')
    assert list(predict.read(str(path), "text")) == ["good", "bad"]


def test_users_are_a_line_each_or_a_list(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    path.write_bytes("\ufeffann\x85a\r\nbob\n".encode())
    assert users.read_users(str(path), "") == ["ann\x85a", "bob"]
    assert users.read_users("x" * 5000, "") == ["x" * 5000]
    with pytest.raises(InputError, match="a file that exists"):
        users.read_users("users.txt", "")


def test_texts_are_read_as_they_are_classified(monkeypatch) -> None:
    """Of an endless standard input, no more than are sorted at a time."""
    taken = []

    class Endless:
        def __iter__(self):
            for number in range(10 * predict.SORTED):
                taken.append(number)
                yield b"good film\n"

    def classifier(texts):
        return np.ones((len(texts), 1)), ("good",) * len(texts)

    classifier.names = lambda num: ("good",)

    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Endless()))
    row = next(predict._rows(classifier, predict.read("-", "text")))
    assert row["text"] == "good film" and len(taken) == predict.SORTED


def test_a_bad_line_is_found_before_any_text_is_classified(tmp_path) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(b"good\nbad\n\xff\n")
    with pytest.raises(InputError, match="line 3 of"):
        predict.read(str(path), "text")
