"""Images whose labels are in a table: names, splits, groups, contradictions."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from apps.image_classify import predict
from apps.image_classify import train as app
from common import program, runtime
from common.data import image_labels, image_sets, splits
from common.data.image_listing import Listing
from common.options import InputError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Writes 40 images whose first pixel is their number; 0 to 9 in a/."""
    root = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for index in range(40):
        pixels = rng.integers(0, 255, (8, 8, 1), np.uint8).repeat(3, axis=2)
        pixels[0, 0] = index
        path = root / name_of(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return root


def name_of(index: int) -> str:
    return f"{'a/' if index < 10 else ''}{index}.png"


def table(path: Path, header: str, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def plain(path: Path, num: int = 40) -> Path:
    """Writes a table that calls even images `even`, and others `odd`."""
    rows = (f"{name_of(i)},{('even', 'odd')[i % 2]}" for i in range(num))
    return table(path, "file,label", *rows)


def listing(root: Path, labels: Path, *columns: str) -> Listing:
    """Returns what the table names, without reading the images."""
    return image_labels.listing(
        root, image_labels.Source(str(labels), *columns)
    )


def listed(files: Listing) -> dict[str, str]:
    """Returns the class of each file, by the file's name below the folder."""
    return {
        row.group: files.class_names[row.label]
        for rows in files.rows.values()
        for row in rows
    }


def load(root: Path, labels: Path, *columns: str, **options) -> splits.Splits:
    source = image_labels.Source(str(labels), *columns)
    return image_sets.load(str(root), labels=source, **options)


def numbers(split: splits.Split) -> set[int]:
    """Returns the numbers of a split's images."""
    memory = split.sample(split.num_examples, 0)
    for image, label in zip(memory.features, memory.labels, strict=True):
        assert image[0, 0, 0] % 2 == label
    return set(memory.features[:, 0, 0, 0].tolist())


@pytest.mark.parametrize("pipeline", ["in_memory", "streaming"])
def test_a_table_takes_the_place_of_class_folders(photos, pipeline) -> None:
    (photos / "LICENSE").write_text("free")
    labels = plain(photos / "labels.csv", 37)
    data = load(photos, labels, pipeline=pipeline)
    assert data.class_names == ("even", "odd")
    parts = [numbers(part) for part in (data.train, data.valid, data.test)]
    assert sorted(set.union(*parts)) == list(range(37))
    assert sum(map(len, parts)) == 37
    assert data.notes == (
        "labels.csv: files from file, labels from label",
        "41 files: 37 used; left out 3 images without a row in the table, 1 "
        "without a suffix",
    )


@pytest.mark.parametrize("kind", ["csv", "semicolon", "jsonl", "parquet"])
def test_a_table_of_any_format_is_read(photos, tmp_path, kind) -> None:
    files = [name_of(index) for index in range(40)]
    labels = [index % 2 for index in range(40)]  # Numbers are names too.
    path = tmp_path / f"elsewhere/x.{kind}"
    path.parent.mkdir()
    if kind == "parquet":
        parquet.write_table(pa.table({"Path": files, "Class": labels}), path)
    elif kind == "jsonl":
        rows = zip(files, labels, strict=True)
        text = (json.dumps({"Path": f, "Class": n}) for f, n in rows)
        path.write_text("\n".join(text))
    else:
        path = path.with_suffix(".csv")
        mark = ";" if kind == "semicolon" else ","
        rows = (f"{f}{mark}{n}" for f, n in zip(files, labels, strict=True))
        table(path, f"Path{mark}Class", *rows)
    expected = {name_of(index): str(index % 2) for index in range(40)}
    assert listed(listing(photos, path)) == expected


@pytest.mark.parametrize(
    "write",
    [
        lambda index: f"photos/{name_of(index)}",  # As seen from the table.
        lambda index: f"./{index}.png",  # Not those in a/.
        lambda index: f"{index}",
        lambda index: name_of(index).replace("/", "\\"),
        lambda index: f"photos/../photos/{name_of(index)}",
    ],
)
def test_files_are_known_by_path_or_name(photos, write) -> None:
    rows = (f"{write(i)},{('even', 'odd')[i % 2]}" for i in range(10, 40))
    labels = table(photos.parent / "t.csv", "image,class", *rows)
    assert listed(listing(photos, labels)) == {
        name_of(index): ("even", "odd")[index % 2] for index in range(10, 40)
    }


def test_a_name_of_two_files_is_refused(photos) -> None:
    Image.new("RGB", (8, 8)).save(photos / "3.png")
    (photos / "b").mkdir()
    Image.new("RGB", (8, 8)).save(photos / "b" / "3.png")
    labels = table(photos / "t.csv", "file,label", "0,even", "3,odd")
    with pytest.raises(InputError, match=r"row 2 of .* names .*3\.png and "):
        listing(photos, labels)


def test_files_outside_of_both_folders_are_missing(photos, capsys) -> None:
    other = photos.parent.parent / f"{photos.parent.name}.png"
    Image.new("RGB", (8, 8)).save(other)
    labels = plain(photos.parent / "labels.csv")
    with labels.open("a") as file:
        file.write(
            f"../{other.name},odd\n{other},odd\ngone.png,odd\n,odd\n7,\n"
            f"{'x' * 300}.png,odd\n"
        )
    data = listing(photos, labels)
    assert data.notes[1] == (
        "left out 4 rows whose file is missing, 2 rows without a file or a "
        "label"
    )
    printed = " ".join(capsys.readouterr().err.split())
    assert f"../{other.name} in row 41' (4 such files)" in printed
    assert other.name not in " ".join(data.notes)


def test_a_table_of_missing_files_is_refused(photos) -> None:
    labels = table(photos / "t.csv", "file,label", "x.png,odd", "y.png,even")
    with pytest.raises(InputError, match="names none, such as"):
        listing(photos, labels)


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        ("file,label", ["12.png,odd"], "one label; .* 'even' .* and 'odd'"),
        ("file,label,split", ["12,even,test"], "file one split"),
        ("file,label,patient", ["12.png,even,p2"], "file one group"),
        ("file,label,split", ["13.png,odd,fold1"], "row 2 of .* has 'fold1'"),
        ("file,sort", [], "must have a column of labels; .* has file, sort"),
        ("name,label", [], "must have a column of files; .* --file_column"),
        ("file,label", ["13.png,even"], "at least two classes; .* 'even'"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_meant_are_refused(
    photos, header, rows, words
) -> None:
    first = ",".join(["12.png", "even", "train", "p1"][: header.count(",") + 1])
    with pytest.raises(InputError, match=words):
        listing(photos, table(photos / "t.csv", header, first, *rows))


def test_what_stands_for_nothing_is_no_class(photos) -> None:
    words = ("", "NaN", "null", "<NA>", "#N/A")
    rows = [f"{12 + i},{word}" for i, word in enumerate(words)]
    files = listing(
        photos, table(photos / "l.csv", "file,label", "10,x", "11,y", *rows)
    )
    assert files.class_names == ("x", "y")
    assert "5 rows without a file or a label" in files.notes[1]


@pytest.mark.parametrize("spelling", [("cat", "Cat"), ("1", "1.0")])
def test_a_class_of_two_spellings_is_refused(photos, spelling) -> None:
    rows = [f"{10 + i},{label}" for i, label in enumerate((*spelling, "dog"))]
    labels = table(photos / "l.csv", "file,label", *rows)
    with pytest.raises(InputError, match="spell a class in one way"):
        listing(photos, labels)


def test_a_row_may_be_repeated(photos) -> None:
    labels = plain(photos / "labels.csv")
    with labels.open("a") as file:
        file.write("12.png,even\n")
    assert (
        listing(photos, labels).notes[1]
        == "left out 1 rows that repeat another"
    )


def test_named_columns_must_exist(photos) -> None:
    labels = plain(photos / "labels.csv")
    with pytest.raises(InputError, match="--group_column must name a column"):
        listing(photos, labels, "file", "label", "", "patient")
    with pytest.raises(InputError, match="--label_column needs --labels"):
        app.Config(label_column="label")


def test_the_tables_splits_are_kept(photos) -> None:
    words = ["Training"] * 24 + ["dev"] * 8 + ["Test"] * 8
    rows = (
        f"{name_of(i)},{('even', 'odd')[i % 2]},{word}"
        for i, word in enumerate(words)
    )
    labels = table(photos / "t.csv", "file,label,split", *rows)
    data = load(photos, labels)
    assert numbers(data.valid) == set(range(24, 32))
    assert numbers(data.test) == set(range(32, 40))
    judged = load(photos, labels, shape=(8, 8, 1), classes=("even", "odd"))
    assert (judged.judged, numbers(judged.test)) == ("test", set(range(32, 40)))
    labels.write_text(labels.read_text().replace("39.png,odd", "39.png,rare"))
    with pytest.raises(InputError, match="none of 'rare' in train"):
        load(photos, labels)


@pytest.mark.parametrize(
    ("given", "seed"), [((), 0), (("test",), 1), (("valid", "test"), 0)]
)
def test_a_group_stays_in_one_split(photos, given, seed) -> None:
    """Ten groups of four images, each of two classes."""
    rows = []
    for index in range(40):
        group = index // 4
        split = given[group] if group < len(given) else "train"
        label = ("even", "odd")[index % 2]
        rows.append(f"{name_of(index)},{label},{split},p{group}")
    header = "file,label,split,who" if given else "file,label,unused,who"
    labels = table(photos / "t.csv", header, *rows)
    data = load(photos, labels, "", "", "", "who", seed=seed)
    groups = [
        {index // 4 for index in numbers(part)}
        for part in (data.train, data.valid, data.test)
    ]
    assert set.union(*groups) == set(range(10))
    assert sum(map(len, groups)) == 10
    assert "groups from who" in data.notes[0]


def test_a_group_in_two_given_splits_is_kept_in_test(photos) -> None:
    rows = [
        f"{name_of(i)},{('even', 'odd')[i % 2]},{('train', 'test')[i % 8 > 5]},"
        f"{i // 4 if i < 8 else i}"
        for i in range(40)
    ]
    labels = table(photos / "t.csv", "file,label,split,scene", *rows)
    data = load(photos, labels)
    assert {6, 7} <= numbers(data.test) and not numbers(data.train) & {4, 5}
    assert "2 train images of a group in another split" in data.notes[1]


def test_too_few_groups_are_refused(photos) -> None:
    rows = (f"{name_of(i)},{('even', 'odd')[i % 2]},{i % 4}" for i in range(40))
    labels = table(photos / "t.csv", "file,label,group", *rows)
    with pytest.raises(InputError, match="3 groups of images"):
        load(photos, labels)


@pytest.mark.slow
def test_a_release_is_trained_and_evaluated(photos, tmp_path, capsys) -> None:
    labels = plain(tmp_path / "labels.csv")
    runtime.start(0)
    app.run(app.Config(
        dataset=str(photos), labels=str(labels), model="lenet5", epochs=1,
        variants=("float32",), image_size=28, strategy="one_device",
        export_dir=str(tmp_path / "out"), work_dir=str(tmp_path / "runs"),
    ))  # fmt: skip
    printed = capsys.readouterr().out
    assert "note: labels.csv: files from file, labels from label" in printed
    use = app.Config(
        mode="evaluate", release=str(tmp_path / "out/image_classify/1"),
        dataset=str(photos),
    )  # fmt: skip

    def examples(config: app.Config) -> tuple[int, str]:
        predict.run(config)
        printed = json.loads(capsys.readouterr().out)
        return printed["examples"], printed["split"]

    own, part = examples(use.replace(labels=str(labels)))
    assert part == "test" and 2 <= own < 20
    fresh = plain(tmp_path / "fresh.csv", 12)
    assert examples(use.replace(labels=str(fresh))) == (12, "all")
    # Class folders do without the release's table.
    for index in range(3):
        path = tmp_path / "folders" / "odd" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((photos / name_of(index)).read_bytes())
    assert examples(use.replace(dataset=str(tmp_path / "folders"))) == (
        3,
        "all",
    )
    rows = table(tmp_path / "w.csv", "file,label", "12.png,even", "13.png,wet")
    with pytest.raises(InputError, match="has 'wet'"):
        program.run(use.replace(labels=str(rows)))
