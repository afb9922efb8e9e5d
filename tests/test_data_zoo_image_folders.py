"""Folders of images as people lay them out, and what is said of them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data import image_folder, image_sets, image_splits, splits
from common.options import InputError


def load(root: Path, pipeline: str = "in_memory", **options) -> splits.Splits:
    """Loads a folder of images to train on."""
    return image_sets.load(str(root), pipeline=pipeline, **options)


SPLITS = {
    "Train Test": (("Train", "Test"), ()),
    "Training Testing": (("Training", "Testing"), ()),
    "TRAIN VAL TEST": (("TRAIN", "VAL", "TEST"), ()),
    "train dev test": (("train", "dev", "test"), ()),
    "train valid": (("train", "valid"), ()),
    "with an archive's rest": (("train", "test"), ("__MACOSX", ".cache")),
}


@pytest.mark.parametrize("layout", SPLITS)
def test_split_folders_of_usual_names(layout, tmp_path: Path) -> None:
    names, others = SPLITS[layout]
    for name in (*names, *others):
        for label, colour in enumerate(("a", "b")):
            folder = tmp_path / name / colour
            folder.mkdir(parents=True)
            for index in range(6):
                pixels = np.full((8, 8, 3), 20 * index + label, np.uint8)
                pixels[0, 0] = len(name), ord(name[0]), 7  # No copies.
                Image.fromarray(pixels).save(folder / f"{index}.png")
    data = load(tmp_path)
    assert data.class_names == ("a", "b")
    counts = [part.num_examples for part in (data.train, data.valid, data.test)]
    assert sum(counts) == 12 * len(names)
    assert min(counts) >= 2


def write_class_folders(root: Path, *names: str) -> None:
    rng = np.random.default_rng(sum(map(ord, str(root))))
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(4):
            pixels = rng.integers(0, 255, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")


@pytest.mark.parametrize(
    "names", [("training_set", "test_set"), ("seg_train", "seg_test")]
)
def test_folders_that_seem_to_be_splits_are_no_classes(names, tmp_path) -> None:
    for name in names:
        write_class_folders(tmp_path / name, "a", "b")
    with pytest.raises(InputError, match="rename them train and test"):
        load(tmp_path)
    # A class may be called so: it holds no folders.
    write_class_folders(tmp_path / "toys", "train set", "crash test")
    assert len(load(tmp_path / "toys").class_names) == 2


def test_two_folders_of_one_split_are_named(tmp_path: Path) -> None:
    for name in ("train", "Training"):
        write_class_folders(tmp_path / name, "a", "b")
    with pytest.raises(InputError, match="Training and train"):
        load(tmp_path)


def test_a_class_of_one_split_is_named(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train", "a", "b")
    write_class_folders(tmp_path / "test", "a", "b", "c")
    with pytest.raises(InputError, match="test also has c"):
        load(tmp_path)
    shutil.rmtree(tmp_path / "test" / "c")
    write_class_folders(tmp_path / "train", "d")
    with pytest.raises(InputError, match="test lacks d"):
        load(tmp_path)


def test_what_is_left_out_is_counted_by_kind(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train", "a", "b")
    write_class_folders(tmp_path / "test", "a", "b")
    write_class_folders(tmp_path / "other", "a")
    write_class_folders(tmp_path, "__MACOSX")
    for name in ("LICENSE", ".DS_Store", "train/a/notes.txt"):
        (tmp_path / name).write_text("x")
    assert load(tmp_path).notes == (
        "27 files: 16 used; left out 4 in __MACOSX, 4 images outside of class "
        "folders, 1 hidden, 1 without a suffix, 1 .txt",
    )
    judged = load(tmp_path, shape=(8, 8, 3), classes=("a", "b"))
    assert "27 files: 8 used; left out 12 images not in test" in judged.notes[0]


def test_a_class_may_be_called_mask(tmp_path: Path) -> None:
    write_class_folders(tmp_path, "mask", "no_mask", "train")
    data = load(tmp_path)
    assert data.class_names == ("mask", "no_mask", "train")


def test_images_and_masks_are_no_classes(tmp_path: Path) -> None:
    write_class_folders(tmp_path, "images", "masks")
    with pytest.raises(InputError, match=r"images, masks\. .* --labels"):
        load(tmp_path)


def test_copies_in_one_folder_do_not_empty_a_class(tmp_path: Path) -> None:
    write_class_folders(tmp_path, "a", "b")
    content = (tmp_path / "a" / "0.png").read_bytes()
    for index in range(3):
        (tmp_path / "a" / f"copy_{index}.png").write_bytes(content)
    data = load(tmp_path)
    assert data.notes == (
        "11 files: 8 used; left out 3 copies of other images",
    )
    assert set(data.train.labels) == {0, 1}


def test_masks_are_no_images(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "a", "images", "masks")
    write_class_folders(tmp_path / "b", "images", "masks")
    data = load(tmp_path)
    num = data.train.num_examples + data.valid.num_examples
    assert num + data.test.num_examples == 8


def test_what_is_tested_is_not_trained_on(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train", "a", "b")
    (tmp_path / "test" / "a").mkdir(parents=True)
    write_class_folders(tmp_path / "test", "b")
    for source in ("a", "b"):
        copy = tmp_path / "test" / source / f"of_{source}.png"
        content = (tmp_path / "train" / source / "1.png").read_bytes()
        copy.write_bytes(content)
    data = load(tmp_path)
    assert data.test.num_examples == 6
    note = " ".join(data.notes)
    assert "that are in another split as well" in note
    assert data.train.num_examples + data.valid.num_examples < 8


@pytest.mark.parametrize("place", ["train/b", "test/b"])
def test_an_image_of_two_classes_is_refused(place, tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_class_folders(tmp_path / split, "a", "b")
    first = tmp_path / "train" / "a" / "1.png"
    copy = tmp_path / place / "copy.png"
    shutil.copy(first, copy)
    with pytest.raises(InputError, match="one class only") as caught:
        load(tmp_path)
    assert str(first) in str(caught.value) and str(copy) in str(caught.value)
    data = load(tmp_path, skip_bad=True)
    assert "2 equal images of several classes" in " ".join(data.notes)


def test_a_release_is_not_judged_by_an_image_of_two_classes(tmp_path) -> None:
    write_class_folders(tmp_path, "a", "b")
    shutil.copy(tmp_path / "a" / "1.png", tmp_path / "b" / "copy.png")
    listing, judged = image_folder.known(tmp_path, ("a", "b"))
    with pytest.raises(InputError, match="one class only"):
        image_splits.whole(listing, image_splits.Reading(), judged)


def test_what_was_read_is_said_before_training(tmp_path, capsys) -> None:
    write_class_folders(tmp_path, "cat [b]", "dog")
    load(tmp_path).announce()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith(": 4 train, 2 valid, 2 test")
    assert printed[1] == "classes (train): cat [b] (2), dog (2)"
    stream = load(tmp_path, "streaming")
    stream.announce()
    assert capsys.readouterr().out.splitlines() == printed
