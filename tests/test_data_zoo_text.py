"""Labels and tables of texts as people have them, each with the right rows."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pytest
from pyarrow import parquet

from apps.text_sentiment import corpus, labels, rows
from apps.text_sentiment import train as app
from common.options import InputError

UNLABELLED = 3


def options(path: Path, **changes) -> app.Config:
    return app.Config(**{"dataset": str(path), **changes})


def load(path: Path, **changes) -> corpus.Corpus:
    return app.load_texts(options(path, **changes))


def write(path: Path, labels: list[str]) -> Path:
    """Writes a text for each label."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([f"text {i}", x] for i, x in enumerate(labels))
    return path


MERGED = [
    # The labels of ten rows each, and the classes that they mean.
    (["yes", "no"], ("no", "yes")),
    (["yes", "no", "Yes", "NO"], ("NO", "Yes")),
    (["Y", "N"], ("N", "Y")),
    (["Y", "N", "y", "n"], ("N", "Y")),
    (["yes", "N", "no", "Y"], ("N", "Y")),
    (["true", "false", "True", "FALSE"], ("FALSE", "True")),
    (["true", "0", "false", "1"], ("0", "1")),
    (["1", "0", "1.0", "0.0"], ("0", "1")),
    (["1.0", "2.0", "10.0"], ("1.0", "2.0", "10.0")),
    (["1", "2", "1.0", "3.0"], ("1", "2", "3.0")),
    (["0.5", "1.0", "1.5", "1"], ("0.5", "1", "1.5")),
    (["01", "1"], ("01", "1")),
    ([" positive", "positive", "negative"], ("negative", "positive")),
    ([" positive", "negative "], ("negative", "positive")),
    (["Positive", "positive", "NEGATIVE"], ("NEGATIVE", "Positive")),
    (["very  good", "very good", "bad"], ("bad", "very  good")),
    # They are not yes and no where another label is neither, or both are no.
    (["n", "s", "no", "f"], ("f", "n", "no", "s")),
    (["n", "f"], ("f", "n")),
    (["1", "2", "true"], ("1", "2", "true")),
    (["none", "some"], ("none", "some")),
    (["US", "DE", "us "], ("DE", "US")),
]


@pytest.mark.parametrize(("written", "classes"), MERGED)
def test_labels_of_one_meaning_are_one_class(
    written, classes, tmp_path: Path
) -> None:
    read = load(write(tmp_path / "a.csv", written * 10))
    assert read.class_names == classes
    counts = sum(
        np.bincount(part.labels, minlength=len(classes))
        for part in read.splits.values()
    )
    assert counts.sum() == 10 * len(written)
    said = [note for note in read.notes if "read as class" in note]
    num_merged = len(set(written)) - len(classes)
    assert bool(said) == bool(num_merged)
    assert sum(note.count("(10 rows)") for note in said) == num_merged + len(
        said
    )


def test_a_class_has_the_spelling_of_most_rows() -> None:
    classes, notes = labels.merged(["no"] * 3 + ["Yes", "yes", "yes"])
    assert classes == {"no": "no", "Yes": "yes", "yes": "yes"}
    assert notes == ["labels read as class yes: 'yes' (2 rows), 'Yes' (1 rows)"]


KNOWN = [
    (("no", "yes"), ["Y", "n", "TRUE", "0"], ["yes", "no", "yes", "no"]),
    (("0", "1"), ["1.0", "0.0", "1"], ["1", "0", "1"]),
    (("1.0", "2.0"), ["2", "1"], ["2.0", "1.0"]),
    (("negative", "positive"), [" Positive"], ["positive"]),
    (("no", "yes"), ["maybe", "Y"], ["yes"]),
    (("bad", "good"), ["yes", "no"], []),
    # Classes of an earlier release, which were not merged.
    (("Yes", "no", "yes"), ["yes ", "Yes"], ["yes", "Yes"]),
    (("f", "n"), ["f", "n"], ["f", "n"]),
]


@pytest.mark.parametrize(("classes", "written", "expected"), KNOWN)
def test_a_fresh_file_may_spell_the_classes_otherwise(
    classes, written, expected
) -> None:
    found, notes = labels.known(written, classes)
    assert [found[label] for label in written if label in found] == expected
    other = [x for x in written if x in found and x.strip() != found[x]]
    assert sum(note.count(" rows)") for note in notes) == len(other)


def workbook(path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["text", "label"])
    for text, label in pairs(None):
        book.active.append([text, label])
    book.save(path)


def pairs(missing) -> list[tuple]:
    """Returns ten rows of each class, and some without a label."""
    named = [(f"text {i}", ("bad", "good")[i % 2]) for i in range(20)]
    for place in range(UNLABELLED):
        named.insert(5 * place, ("no label", missing))
    return named


def delimited(path: Path, missing: str, separator: str = ",") -> None:
    lines = [
        separator.join(row) for row in [("text", "label"), *pairs(missing)]
    ]
    path.write_text("\n".join(lines) + "\n")


def json_lines(path: Path, has_key: bool) -> None:
    objects = [
        {"text": text, "label": label} if label or has_key else {"text": text}
        for text, label in pairs(None)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in objects))


def floats(path: Path) -> None:
    """Writes labels as pandas does where one is missing, with NaN for it."""
    numbers = {None: math.nan, "bad": 0.0, "good": 1.0}
    texts, names = zip(*pairs(None), strict=True)
    table = {"text": texts, "label": [numbers[name] for name in names]}
    parquet.write_table(pa.table(table), path)


def nulls(path: Path) -> None:
    texts, names = zip(*pairs(None), strict=True)
    parquet.write_table(pa.table({"text": texts, "label": names}), path)


WITHOUT_LABELS = {
    "empty.csv": lambda path: delimited(path, ""),
    "spaces.csv": lambda path: delimited(path, "  "),
    "nan.csv": lambda path: delimited(path, "NaN"),
    "null.csv": lambda path: delimited(path, "NULL"),
    "pandas.csv": lambda path: delimited(path, "<NA>"),
    "excel.csv": lambda path: delimited(path, "#N/A"),
    "empty.tsv": lambda path: delimited(path, "", "\t"),
    "semicolon.csv": lambda path: delimited(path, "", ";"),
    "sheet.xlsx": workbook,
    "nulls.jsonl": lambda path: json_lines(path, True),
    "no_key.jsonl": lambda path: json_lines(path, False),
    "nulls.parquet": nulls,
    "floats.parquet": floats,
}


@pytest.mark.parametrize("name", WITHOUT_LABELS)
def test_rows_without_a_label_are_left_out_and_counted(
    name, tmp_path: Path
) -> None:
    WITHOUT_LABELS[name](tmp_path / name)
    read = load(tmp_path / name)
    expected = ("0.0", "1.0") if name == "floats.parquet" else ("bad", "good")
    assert read.class_names == expected
    texts = [text for part in read.splits.values() for text in part.texts]
    assert sorted(texts) == sorted(f"text {i}" for i in range(20))
    assert f"left out {UNLABELLED} rows without a label" in read.notes
    assert any("read 23 rows" in note and "target" in note
               for note in read.notes)  # fmt: skip


def test_the_row_of_a_label_is_that_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", ["", "a", "b"] * 9)
    write(tmp_path / "test.csv", ["", "a", "", "c"])
    with pytest.raises(InputError, match=r"row 4 of .*test\.csv has 'c'"):
        load(tmp_path / "a.csv", test_file=str(tmp_path / "test.csv"))
    write(tmp_path / "b.csv", ["", "a", "b\x07c"])
    with pytest.raises(InputError, match=r"row 3 of .*b\.csv has 'b\\x07c'"):
        load(tmp_path / "b.csv")
    write(tmp_path / "c.csv", ["", "", ""])
    with pytest.raises(InputError, match="a class in some rows"):
        load(tmp_path / "c.csv")


def test_bad_labels_are_skipped_if_that_is_wanted(tmp_path: Path) -> None:
    written = ["a", "b"] * 9 + ["b\x07c", "rare", "rare"]
    path, test = write(tmp_path / "a.csv", written), tmp_path / "test.csv"
    write(test, ["a", "rare", "", "b"])
    with pytest.raises(InputError, match="too few of rare"):
        load(write(tmp_path / "b.csv", [*written[:18], "rare"]))
    read = load(path, test_file=str(test), on_bad_input="skip")
    assert read.class_names == ("a", "b", "rare")  # Two splits, two rows.
    read = load(path, on_bad_input="skip")
    assert read.class_names == ("a", "b")
    assert {
        "left out 1 rows with labels that cannot be printed",
        "left out 2 rows of classes with fewer than 3: rare (2)",
    } <= set(read.notes)
    write(path, written[:-1])
    read = load(path, test_file=str(test), on_bad_input="skip")
    assert read.splits["test"].labels.tolist() == [0, 1]
    assert "left out 1 rows of other classes" in read.notes
    with pytest.raises(InputError, match="two classes must remain"):
        load(write(tmp_path / "c.csv", ["a"] * 9 + ["b"]), on_bad_input="skip")


@pytest.mark.parametrize("seed", range(3))
def test_each_split_has_its_share_of_each_class(seed, tmp_path: Path) -> None:
    sizes = {"common": 200, "some": 40, "rare": 5, "rarest": 3}
    written = [name for name, num in sizes.items() for _ in range(num)]
    read = load(write(tmp_path / "a.csv", written), seed=seed)
    counts = {
        name: np.bincount(part.labels, minlength=4).tolist()
        for name, part in read.splits.items()
    }
    assert read.class_names == ("common", "rare", "rarest", "some")
    assert counts["test"] == counts["valid"] == [20, 1, 1, 4]
    assert counts["train"] == [160, 3, 1, 32]
    texts = [text for part in read.splits.values() for text in part.texts]
    assert len(set(texts)) == len(written)


def test_a_test_file_leaves_more_for_training(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ["a"] * 20 + ["b"] * 2)
    write(tmp_path / "t.csv", ["a", "b"])
    read = load(path, test_file=str(tmp_path / "t.csv"))
    assert np.bincount(read.splits["train"].labels).tolist() == [18, 1]
    assert np.bincount(read.splits["valid"].labels).tolist() == [2, 1]


def test_parts_are_random_and_fixed_by_the_seed() -> None:
    sorted_labels = np.repeat([0, 1], 50)
    first, same, other = (
        rows.parts(sorted_labels, [0.1, 0.1], seed) for seed in (0, 0, 1)
    )
    assert [len(part) for part in first] == [10, 10, 80]
    assert [part.tolist() for part in first] == [p.tolist() for p in same]
    assert first[0].tolist() != other[0].tolist()
    # A file that is sorted by class gives batches that are not.
    assert 0 < np.mean(sorted_labels[first[2]][:40]) < 1
