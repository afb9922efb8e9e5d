"""Equal files in medical folders, and folders and files outside the layout."""

import shutil

import pytest
from test_data_zoo_anomalies import (
    anomaly_set,
    fill,
    has_note,
    load,
    picture,
    sizes,
)

from apps.medical_autoencoder import train as app
from common.options import InputError


def test_what_is_tested_is_not_trained_on(tmp_path) -> None:
    anomaly_set(tmp_path)
    good = tmp_path / "train" / "good"
    for index in range(3):
        shutil.copy(
            good / f"00{index}.png", tmp_path / "test/good" / f"{index}.png"
        )
    splits = load(tmp_path)
    assert sum(sizes(splits)) == 30 and splits.test.num_examples == 13
    assert has_note(splits, "left out 3 train files that are in another split")
    shutil.copy(good / "005.png", tmp_path / "test" / "hole" / "x.png")
    with pytest.raises(InputError, match=r"x\.png and .*005\.png are equal"):
        load(tmp_path)


def test_equal_files_are_of_one_patient(tmp_path) -> None:
    fill(tmp_path / "a", 12)
    fill(tmp_path / "b", 12)
    picture(tmp_path / "b" / "last.png", 99)
    fill(tmp_path / "c", 12, 30)
    root = tmp_path / "normal"
    for name in ("a", "b", "c"):
        shutil.move(tmp_path / name, root / name)
    splits = load(tmp_path)
    parts = (splits.train, splits.valid, splits.test)
    shades = [set(split.features[:, 3, 3, 0].tolist()) for split in parts]
    assert sum(sizes(splits)) == 37
    assert sum(map(len, shades)) == len(set.union(*shades)) == 25


def test_split_folders_of_normal_images_only(tmp_path) -> None:
    fill(tmp_path / "train", 12)
    fill(tmp_path / "test", 5, 30)
    splits = load(tmp_path)
    assert splits.test.num_examples == 5 and sum(sizes(splits)) == 17
    options = app.Config(mode="evaluate", dataset=str(tmp_path))
    judged = app.load_data(options, (8, 8, 1), judge_all=True)
    assert (judged.judged, judged.test.num_examples) == ("test", 5)


def test_a_split_folder_without_class_folders_is_named(tmp_path) -> None:
    fill(anomaly_set(tmp_path) / "val", 3, 60)
    with pytest.raises(InputError, match="val has only images"):
        load(tmp_path)


def test_images_that_are_not_read_are_counted(tmp_path) -> None:
    fill(anomaly_set(tmp_path) / "extra", 3, 60)
    fill(tmp_path, 2, 70)
    fill(tmp_path / "test" / "masks", 4, 80)
    splits = load(tmp_path)
    assert sum(sizes(splits)) == 30
    assert has_note(splits, "left out 5 images outside of the folders")
    assert has_note(splits, "left out 10 masks")
    assert has_note(splits, "4 of the masks belong to no image")
