import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common.data import image_sets, images, pipelines
from common.options import InputError

ENCODERS = {
    ".png": tf.io.encode_png,
    ".jpg": tf.io.encode_jpeg,
}


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ENCODERS[path.suffix](image).numpy())


def bmp(height: int, width: int) -> bytes:
    """Returns a 24-bit BMP, written by hand: TensorFlow only reads them."""
    row = width * 3 + (-width * 3) % 4
    body = b"\x40" * (row * height)
    head = b"BM" + (54 + len(body)).to_bytes(4, "little") + bytes(4)
    head += (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    head += width.to_bytes(4, "little") + height.to_bytes(4, "little")
    head += (1).to_bytes(2, "little") + (24).to_bytes(2, "little")
    return head + bytes(24) + body


GIF = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000"
    "010001000002024401003b"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index in range(12):
        for name, channels in (("cat", 3), ("dog", 1)):
            shape = (10 + index, 12, channels)
            image = rng.integers(0, 255, shape, dtype=np.uint8)
            suffix = ".png" if index % 2 else ".jpg"
            write(tmp_path / name / f"{index:02d}{suffix}", image)
    (tmp_path / "cat" / "x.bmp").write_bytes(bmp(9, 7))
    (tmp_path / "dog" / "x.gif").write_bytes(GIF)
    (tmp_path / "dog" / "notes.txt").write_text("not an image")
    return tmp_path


@pytest.mark.parametrize("pipeline", ["in_memory", "streaming"])
def test_a_folder_of_mixed_images_becomes_splits(folder, pipeline) -> None:
    splits = image_sets.load(str(folder), usual_size=16, pipeline=pipeline)
    assert splits.class_names == ("cat", "dog")
    sizes = splits.describe()
    assert sizes["train"] + sizes["valid"] + sizes["test"] == 26
    assert sizes["train"] >= 16 and min(sizes["valid"], sizes["test"]) >= 2
    assert splits.train.feature_shape == (16, 16, 3)
    batches = pipelines.for_evaluation(
        splits.train, 5, transform=lambda x, y: (x, y)
    )
    assert sum(len(y) for _, y in batches) == sizes["train"]


def test_both_pipelines_read_the_same_pixels(folder) -> None:
    in_memory, stream = (
        image_sets.load(str(folder), image_size=8, pipeline=name).test
        for name in ("in_memory", "streaming")
    )
    streamed = stream.pick(np.arange(stream.num_examples))
    np.testing.assert_array_equal(in_memory.features, streamed.features)
    np.testing.assert_array_equal(in_memory.labels, streamed.labels)


def test_the_seed_fixes_the_split(folder) -> None:
    first, same, other = (
        image_sets.load(str(folder), image_size=8, seed=seed).test.features
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_added_files_move_no_other(folder) -> None:
    rng = np.random.default_rng(9)

    def rows(split) -> set[bytes]:
        return {image.tobytes() for image in split.features}

    before = image_sets.load(str(folder), image_size=8)
    for index in range(30):
        image = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        write(folder / "cat" / f"new{index}.png", image)
    after = image_sets.load(str(folder), image_size=8)
    assert after.train.num_examples > before.train.num_examples
    assert not rows(before.train) & rows(after.test)


def test_a_model_says_what_shape_it_needs(folder) -> None:
    splits = image_sets.load(str(folder), image_size=8, shape=(6, 10, 1))
    assert splits.test.feature_shape == (6, 10, 1)


def test_a_set_of_texts_is_refused_before_its_download(tmp_path) -> None:
    with pytest.raises(InputError, match="an image and a class label"):
        image_sets.load("imdb_reviews", data_dir=str(tmp_path))
    assert not any(tmp_path.iterdir())
    with pytest.raises(InputError, match="must be a TFDS name"):
        image_sets.load("mnist:9.9.9", data_dir=str(tmp_path))


def test_split_folders_are_kept(folder, tmp_path) -> None:
    root = tmp_path / "set"
    shades = iter(range(12))
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            for file in ("0.png", "1.png"):
                image = np.full((8, 8, 1), next(shades), np.uint8)
                write(root / split / name / file, image)
    splits = image_sets.load(str(root))
    assert splits.train.feature_shape == (8, 8, 1)
    assert splits.describe()["valid"] == splits.describe()["train"] == 4


@pytest.mark.parametrize("name", ["val", "Test"])
def test_a_split_of_images_alone_is_refused(folder, tmp_path, name) -> None:
    root = tmp_path / "flat"
    for class_name in ("cat", "dog"):
        (root / "train").mkdir(parents=True, exist_ok=True)
        (folder / class_name).rename(root / "train" / class_name)
    (root / name).mkdir()
    image_sets.load(str(root), image_size=8)  # It is empty: nothing is lost.
    write(root / name / "a.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(InputError, match=f"{name} has only images"):
        image_sets.load(str(root), image_size=8)


def test_a_corrupt_image_is_named_or_skipped(folder, capsys) -> None:
    bad = folder / "cat" / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(InputError, match=r"bad\.png: it"):
        image_sets.load(str(folder))
    splits = image_sets.load(str(folder), skip_bad=True)
    assert sum(splits.describe()[k] for k in ("train", "valid", "test")) == 26
    assert splits.notes == (
        "28 files: 26 used; left out 1 .txt, 1 undecodable images",
    )
    printed = " ".join(capsys.readouterr().err.split())
    assert "bad.png: it is not a PNG" in printed and "(1 such" in printed


def test_a_folder_of_corrupt_images_alone_is_refused(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bad.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="at least 3 images of every class"):
        image_sets.load(str(tmp_path), skip_bad=True)


def test_folders_that_cannot_be_used_are_refused(folder, tmp_path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="empty has none"):
        image_sets.load(str(folder))
    (tmp_path / "one" / "only").mkdir(parents=True)
    with pytest.raises(InputError, match="at least two class folders"):
        image_sets.load(str(tmp_path / "one"))
    with pytest.raises(InputError, match="must be a folder"):
        image_sets.load("./missing/")
    with pytest.raises(InputError, match="TFDS name"):
        image_sets.load("no_such_set")


def test_decode_gives_the_channels_asked_for() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    content = tf.io.encode_png(grey)
    np.testing.assert_array_equal(images.decode(content, 1), grey)
    assert images.decode(content, 3).shape == (8, 8, 3)
    assert images.decode(tf.constant(GIF), 1).shape == (1, 1, 1)


def test_fit_resizes_only_what_differs() -> None:
    image = tf.zeros((8, 8, 1), tf.uint8)
    assert images.fit(image, (8, 8)) is image
    assert images.fit(image, (4, 6)).shape == (4, 6, 1)


def test_digits_come_with_the_project(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    splits = image_sets.load("digits")
    assert splits.describe() == {
        "name": "digits/1.0.0", "train": 1293, "valid": 144, "test": 360,
    }  # fmt: skip
    assert splits.train.feature_shape == (8, 8, 1)
    assert splits.train.features.max() == 255
    streamed = image_sets.load("digits", pipeline="streaming")
    rows = np.arange(10)
    np.testing.assert_array_equal(
        splits.test.pick(rows).features, streamed.test.pick(rows).features
    )


def test_class_names_must_be_printable(tmp_path: Path) -> None:
    for name in (b"good", b"\xff\xfe"):
        (tmp_path / os.fsdecode(name)).mkdir()
    with pytest.raises(InputError, match="printable UTF-8"):
        image_sets.load(str(tmp_path))


PETS = ("bird", "cat", "dog")


@pytest.mark.parametrize("pipeline", ["in_memory", "streaming"])
def test_a_release_judges_all_of_a_folder(folder, pipeline) -> None:
    """No image is set aside for training; a class may have no image."""
    splits = image_sets.load(
        str(folder), shape=(8, 8, 3), pipeline=pipeline, classes=PETS
    )
    assert (splits.judged, splits.class_names) == ("all", PETS)
    assert splits.test.num_examples == 26
    assert splits.train.num_examples == splits.valid.num_examples == 0
    labels = splits.test.sample(26, seed=0).labels
    assert sorted(labels.tolist()) == [1] * 13 + [2] * 13


def test_a_folder_of_one_class_is_judged(tmp_path) -> None:
    write(tmp_path / "dog" / "1.png", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "cat").mkdir()  # No image in it.
    splits = image_sets.load(str(tmp_path), shape=(4, 4, 3), classes=PETS)
    assert splits.test.labels.tolist() == [2]


def test_a_folder_that_has_its_own_test_is_judged_by_it(tmp_path) -> None:
    for split in ("train", "test", "test"):
        number = len(list(tmp_path.rglob("*.png")))
        path = tmp_path / split / "dog" / f"{number}.png"
        write(path, np.zeros((4, 4, 3), np.uint8))
    splits = image_sets.load(str(tmp_path), shape=(4, 4, 3), classes=PETS)
    assert (splits.judged, splits.test.num_examples) == ("test", 2)
    # A class may have the name of a split.
    classes = ("test", "train")
    with pytest.raises(InputError, match="has 'dog'"):
        image_sets.load(
            str(tmp_path / "test"), shape=(4, 4, 3), classes=classes
        )


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("dog", "cow"), "the release's classes, bird, cat, dog; .* has 'cow'"),
        ((), "has no folder"),
        (("dog",), "must have images"),
    ],
)
def test_a_folder_of_other_classes_is_refused(tmp_path, names, words) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=words):
        image_sets.load(str(tmp_path), shape=(4, 4, 3), classes=PETS)
