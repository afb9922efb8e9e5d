"""Folders: labels, patients in a single split, sizes, and refused input."""

import collections
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_medical_autoencoder_dicom import RAMP, write

from apps.medical_autoencoder import folder, layout, patients
from apps.medical_autoencoder import train as app
from common.options import InputError


def png(path: Path, size: int = 16, value: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((size, size), value, np.uint8)
    values[0, 0] = 255
    Image.fromarray(values).save(path)


def fill(root: Path, normal: int = 30, abnormal: int = 8, size: int = 16):
    for index in range(normal):
        png(root / "normal" / f"{index}.png", size, index)
    for index in range(abnormal):
        png(root / "abnormal" / f"{index}.png", size, 200 + index)


def load(root: Path, **changes):
    return app.load_data(app.Config(dataset=str(root), **changes))


def test_train_is_normal_and_nothing_is_lost(tmp_path) -> None:
    fill(tmp_path)
    splits = load(tmp_path)
    assert set(splits.train.labels) == {0}
    assert set(splits.valid.labels) == set(splits.test.labels) == {0, 1}
    sizes = [
        split.num_examples
        for split in (splits.train, splits.valid, splits.test)
    ]
    assert sum(sizes) == 38
    assert splits.train.feature_shape == (16, 16, 1)
    assert splits.train.features.dtype == np.float32
    (note,) = splits.notes
    assert "38 of 38 files name no patient" in note


def test_files_added_later_move_nobody(tmp_path) -> None:
    fill(tmp_path, normal=60)
    before = load(tmp_path).train.features[:, 5, 5, 0]
    png(tmp_path / "normal" / "late.png", value=99)
    after = load(tmp_path).train.features[:, 5, 5, 0]
    assert set(before) <= set(after)
    other = load(tmp_path, seed=1).train.features[:, 5, 5, 0]
    assert set(other) != set(after)


def dicoms(root: Path, patients: int, scans: int = 3) -> None:
    for index in range(patients):
        for scan in range(scans):
            label = "abnormal" if index % 4 == 0 and scan == 0 else "normal"
            path = root / label / f"{index}_{scan}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.tile(RAMP, (2, 2)) + scans * index + scan
            write(path, pixels, PatientID=f"ID{index}",
                  PatientName=f"Secret{index}^Name")  # fmt: skip


def sides(rows: list[folder.Row], seed: int = 0) -> dict[str, set[str]]:
    """Returns the splits that each patient is in."""
    splits = collections.defaultdict(set)
    for key, part in patients.split(rows, seed).items():
        for row in part:
            splits[row.patient].add(key)
    return splits


def rows_of(root: Path, **changes) -> list[folder.Row]:
    options = app.Config(dataset=str(root), **changes)
    table = patients.read_table(options.patients)
    listed, _ = layout.of_training(root, options.normal_label)
    return folder._read(root, listed, table, (0, 0), options)[0]


def test_no_patient_is_on_two_sides(tmp_path) -> None:
    dicoms(tmp_path, 24)
    rows = rows_of(tmp_path)
    assert len({row.patient for row in rows}) == 24
    for seed in range(5):
        assert all(len(keys) == 1 for keys in sides(rows, seed).values())
    assert load(tmp_path).notes == ()


def test_patients_of_a_table(tmp_path) -> None:
    fill(tmp_path / "images", normal=40, abnormal=8)
    for path in (tmp_path / "images" / "abnormal").iterdir():
        path.rename(path.with_name(f"a{path.name}"))
    names = [path.name for path in (tmp_path / "images").rglob("*.png")]
    table = tmp_path / "patients.csv"
    lines = [f"{name},{index % 16:02d}" for index, name in enumerate(names)]
    table.write_text("\n".join(["file,patient", *lines]) + "\n")
    rows = rows_of(tmp_path / "images", patients=str(table))
    splits = sides(rows)
    assert set(splits) <= {f"{index:02d}" for index in range(16)}
    assert all(len(keys) == 1 for keys in splits.values())
    table.write_text("\n".join(["file,patient", *lines[1:]]) + "\n")
    with pytest.raises(InputError, match="row for every file"):
        rows_of(tmp_path / "images", patients=str(table))


def test_a_file_has_one_patient(tmp_path) -> None:
    table = tmp_path / "patients.csv"
    table.write_text("file,patient\na/1.png,anna\nb/1.png,anna\n")
    assert patients.read_table(str(table)) == {"1.png": "anna"}
    table.write_text("file,patient\na/1.png,anna\nb/1.png,berta\n")
    with pytest.raises(InputError, match=r"several for 1\.png") as caught:
        patients.read_table(str(table))
    assert "anna" not in str(caught.value)


def test_split_folders_are_kept_unless_they_share_a_patient(tmp_path) -> None:
    for key, first in (("train", 0), ("val", 20), ("test", 40)):
        dicoms(tmp_path / key / "x", 1)
        for index in range(first, first + 8):
            label = "NORMAL" if index % 2 else "PNEUMONIA"
            png(tmp_path / key / label / f"{index}.png", value=index)
    for key in ("train", "val", "test"):
        for path in (tmp_path / key / "x").rglob("*.dcm"):
            path.unlink()
        for name in ("abnormal", "normal", "."):
            (tmp_path / key / "x" / name).rmdir()
    splits = load(tmp_path)
    assert splits.train.num_examples == 4  # Train has no abnormal images.
    assert splits.valid.num_examples == splits.test.num_examples == 8
    for key in ("train", "test"):
        pixels = np.tile(RAMP, (2, 2)) + len(key)
        path = tmp_path / key / "NORMAL" / f"{key}.dcm"
        write(path, pixels, PatientID="same")
    with pytest.raises(InputError, match="are of one patient") as caught:
        load(tmp_path)
    assert "same" not in str(caught.value)


def test_mixed_sizes_and_colours_become_one_shape(tmp_path) -> None:
    fill(tmp_path)
    png(tmp_path / "normal" / "large.png", 100)
    assert load(tmp_path).train.feature_shape == (64, 64, 1)
    assert load(tmp_path, image_size=32).test.feature_shape == (32, 32, 1)
    colour = np.zeros((16, 16, 3), np.uint8)
    Image.fromarray(colour).save(tmp_path / "normal" / "colour.png")
    assert load(tmp_path).train.feature_shape == (64, 64, 3)


def test_a_folder_beyond_memory_is_refused(tmp_path, monkeypatch) -> None:
    fill(tmp_path)
    monkeypatch.setattr(folder, "MAX_MEMORY_BYTES", 2**15)
    with pytest.raises(InputError, match="the first 33 of 38 files"):
        load(tmp_path)


def test_without_abnormal_images_it_says_what_is_unknown(tmp_path) -> None:
    for index in range(20):
        png(tmp_path / f"{index}.png", value=index)
    splits = load(tmp_path)
    assert set(splits.test.labels) == {0}
    assert "cannot be known" in splits.notes[-1]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("zero.png", b"", "zero.png: it is not a PNG"),
        ("corrupt.dcm", b"\0" * 128 + b"DICM" + b"\xff" * 99, "no pixel data"),
        ("text.dcm", b"hello", "not a DICOM file"),
        ("short.tif", b"II*\0", "cannot be read"),
    ],
)
def test_an_unreadable_file_is_named_or_skipped(
    tmp_path, name, content, words, capsys
) -> None:
    fill(tmp_path)
    (tmp_path / "normal" / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    splits = load(tmp_path, on_bad_input="skip")
    # The note goes into the report, which must not name a patient.
    assert splits.notes[0] == "left out 1 unreadable files"
    assert name in capsys.readouterr().err.replace("\n", "")


def test_text_burned_into_pixels_is_told(tmp_path) -> None:
    fill(tmp_path)
    write(tmp_path / "normal" / "a.dcm", np.tile(RAMP, (2, 2)),
          BurnedInAnnotation="YES")  # fmt: skip
    assert any("burned" in note for note in load(tmp_path).notes)


def test_the_window_is_the_users(tmp_path) -> None:
    fill(tmp_path, normal=0, abnormal=0)
    (tmp_path / "normal").mkdir()
    for index in range(12):
        write(
            tmp_path / "normal" / f"{index}.dcm", np.tile(RAMP, (2, 2)) + index
        )
    wide, narrow = (
        load(tmp_path, window=(centre, width)).train.features
        for centre, width in (("504", "1008"), ("504", "10"))
    )
    assert wide.std() < narrow.std()
    for bad in (("1",), ("a", "b"), ("1", "-2")):
        with pytest.raises(InputError, match="--window"):
            load(tmp_path, window=bad)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "must hold images"),
        (lambda root: png(root / "a" / "1.png"), "--normal_label"),
        (lambda root: png(root / "test" / "normal" / "1.png"), "folder train"),
        (lambda root: fill(root, 2, 0), "at least two images"),
    ],
)
def test_folders_that_will_not_do(tmp_path, make, words) -> None:
    make(tmp_path)
    with pytest.raises(InputError, match=words):
        load(tmp_path)


def test_a_seed_is_in_the_hash_of_a_patient(tmp_path) -> None:
    dicoms(tmp_path, 4)
    hashes, others = (
        {row.patient for row in rows_of(tmp_path, seed=seed)} for seed in (0, 1)
    )
    assert not hashes & others


def test_a_release_judges_all_of_a_folder(tmp_path) -> None:
    """Neither patients nor their table are used; no image is set aside."""
    fill(tmp_path, 3, 2, size=20)
    options = app.Config(
        mode="evaluate", dataset=str(tmp_path), patients="none.csv"
    )
    splits = app.load_data(options, (8, 8, 1), judge_all=True)
    assert splits.judged == "all" and not splits.notes
    assert splits.test.labels.tolist() == [1, 1, 0, 0, 0]
    assert splits.test.feature_shape == (8, 8, 1)
    assert splits.train.num_examples == splits.valid.num_examples == 0


def test_a_folder_that_has_its_own_test_is_judged_by_it(tmp_path) -> None:
    fill(tmp_path / "train", 4, 0)
    fill(tmp_path / "test", 1, 1)  # There need be no folder valid.
    options = app.Config(mode="evaluate", dataset=str(tmp_path))
    splits = app.load_data(options, (16, 16, 1), judge_all=True)
    assert (splits.judged, splits.test.num_examples) == ("test", 2)
