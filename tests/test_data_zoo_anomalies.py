"""Folders of medical images and of anomaly sets, as people have them."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from test_medical_autoencoder_dicom import OWN_FILES, RAMP, write

from apps.medical_autoencoder import layout, masks, predict
from apps.medical_autoencoder import train as app
from common.options import InputError

SIZE = 16


def picture(path: Path, value: int = 100, size: int = SIZE, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((size, size), value, np.uint8)
    values[0, 0] = 255
    Image.fromarray(values).save(path, **options)
    return path


def mask(path: Path, marked: tuple = (slice(4, 8), slice(4, 8))) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((SIZE, SIZE), np.uint8)
    values[marked] = 255
    Image.fromarray(values).save(path)
    return path


def fill(folder: Path, num: int, start: int = 0) -> None:
    for index in range(start, start + num):
        picture(folder / f"{index:03d}.png", 10 + index)


def anomaly_set(root: Path) -> Path:
    """Writes the layout of MVTec AD."""
    fill(root / "train" / "good", 20)
    fill(root / "test" / "good", 4, 30)
    for defect in ("crack", "hole"):
        fill(root / "test" / defect, 3, 40)
        for index in range(40, 43):
            mask(root / "ground_truth" / defect / f"{index:03d}_mask.png")
    (root / "license.txt").write_text("CC BY")
    return root


def load(root: Path, **changes):
    return app.load_data(app.Config(dataset=str(root), **changes))


def sizes(splits) -> tuple[int, ...]:
    return tuple(
        split.num_examples
        for split in (splits.train, splits.valid, splits.test)
    )


def has_note(splits, words: str) -> bool:
    return any(words in note for note in splits.notes)


def test_an_anomaly_set(tmp_path) -> None:
    splits = load(anomaly_set(tmp_path))
    assert sum(sizes(splits)) == 20 + 4 + 6
    assert not splits.valid.labels.any() and not splits.train.labels.any()
    assert splits.test.labels.tolist() == [1] * 3 + [0] * 4 + [1] * 3
    assert splits.test.masks.shape == (10, SIZE, SIZE)
    marked = splits.test.masks.sum(axis=(1, 2))
    assert marked.tolist() == [16] * 3 + [0] * 4 + [16] * 3
    num = splits.valid.num_examples
    assert has_note(splits, f"no valid part: {num} normal and 0 abnormal")
    assert has_note(splits, "left out 6 masks")
    assert has_note(splits, "1 .txt")
    assert has_note(splits, "no abnormal images to validate with")


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (("NORMAL", "PNEUMONIA"), "chest_xray"),
        (("ok", "ko"), "btad"),
        (("Good", "Bad"), "x"),
    ],
)
def test_train_and_test_without_validation(tmp_path, names, folder) -> None:
    root = tmp_path / folder
    for key, start, num in (("train", 0, 20), ("test", 50, 4)):
        for name in names:
            fill(root / key / name, num, start)
            start += num
    splits = load(root)
    num_train, num_valid, num_test = sizes(splits)
    assert num_train + num_valid == 40 and num_test == 8
    assert not splits.train.labels.any() and splits.valid.labels.sum() == 20
    assert 2 <= num_valid - 20 <= 8
    note = f"no valid part: {num_valid - 20} normal and 20 abnormal"
    assert has_note(splits, note)
    again = load(root)
    np.testing.assert_array_equal(again.valid.features, splits.valid.features)


def test_train_alone_gives_all_splits(tmp_path) -> None:
    for name, start in (("normal", 0), ("ill", 40)):
        fill(tmp_path / "Training" / name, 40, start)
    splits = load(tmp_path)
    assert sum(sizes(splits)) == 80
    assert splits.valid.labels.any() and splits.test.labels.any()
    assert has_note(splits, "no valid part") and has_note(
        splits, "no test part"
    )


def test_abnormal_training_images_are_counted(tmp_path) -> None:
    for key, start in (("train", 0), ("val", 40), ("test", 80)):
        fill(tmp_path / key / "normal", 5, start)
        fill(tmp_path / key / "ill", 3, start + 20)
    splits = load(tmp_path)
    assert sizes(splits) == (5, 8, 8)
    assert has_note(splits, "3 abnormal files of train are not used")


def test_a_patient_of_test_is_not_trained_on(tmp_path) -> None:
    fill(tmp_path / "train" / "normal", 8)
    fill(tmp_path / "test" / "normal", 8, 20)
    fill(tmp_path / "test" / "ill", 8, 40)
    for key in ("train", "test"):
        write(tmp_path / key / "normal" / f"{key}.dcm",
              np.tile(RAMP, (2, 2)) + len(key),
              PatientID="P")  # fmt: skip
    with pytest.raises(InputError, match="every patient in one split"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        ("train/normal train/ill test/normal", "'ill' is only in train"),
        (
            "train/normal train/ill test/normal test/ill test/odd",
            "'odd' is only in test",
        ),
        (
            "train/normal train/ill val/normal val/il test/normal test/ill",
            "'il' is only in valid",
        ),
        ("train/normal test/ill", "--normal_label"),
        ("train/good train/normal test/good", "--normal_label"),
        ("test/good test/bad", "folder train"),
    ],
)
def test_a_layout_that_is_refused(tmp_path, folders, words) -> None:
    for index, folder in enumerate(folders.split()):
        fill(tmp_path / folder, 6, 20 * index)
    with pytest.raises(InputError, match=words):
        load(tmp_path)


def test_masks_beside_images_are_no_images(tmp_path) -> None:
    """As in a set of ultrasound pictures of breasts."""
    for index in range(20):
        for name in ("normal", "malignant"):
            picture(
                tmp_path / name / f"{name} ({index}).png", index + len(name) * 9
            )
            mask(tmp_path / name / f"{name} ({index})_mask.png")
    mask(tmp_path / "malignant" / "malignant (1)_mask_1.png", (0, 0))
    listed, notes = layout.of_training(tmp_path, "")
    assert len(listed) == 40
    assert "left out 41 masks, which are no images" in notes
    (row,) = (row for row in listed if row.path.name == "malignant (1).png")
    assert [path.name for path in row.masks] == [
        "malignant (1)_mask.png", "malignant (1)_mask_1.png",
    ]  # fmt: skip
    splits = load(tmp_path)
    marked = splits.test.masks.sum(axis=(1, 2))
    assert set(marked) <= {16, 17} and splits.test.masks.max() == masks.ABNORMAL


def test_ground_truth_is_no_class(tmp_path) -> None:
    fill(tmp_path / "normal", 20)
    fill(tmp_path / "hole", 8, 40)
    mask(tmp_path / "Ground_Truth" / "hole" / "041.png")
    mask(tmp_path / "ground_truth" / "hole" / "999_mask.png")
    listed, notes = layout.of_training(tmp_path, "")
    assert len(listed) == 28 and {row.class_name for row in listed} == {
        "normal", "hole",
    }  # fmt: skip
    assert [row.path.name for row in listed if row.masks] == ["041.png"]
    assert "1 of the masks belong to no image by their names" in notes


@pytest.mark.parametrize("name", ["{0}-mask.png", "{0}/000.png", "{0}.png"])
def test_masks_or_their_folder_are_called_as_images(tmp_path, name) -> None:
    """MVTec LOCO has a folder of masks for each image."""
    root = anomaly_set(tmp_path)
    for path in sorted((root / "ground_truth").rglob("*_mask.png")):
        new = path.parent / name.format(path.name[:3])
        new.parent.mkdir(exist_ok=True)
        path.rename(new)
    listed, notes = layout.of_training(root, "")
    assert [len(file.masks) for file in listed if file.label] == [1] * 6
    assert not any("belong to no image" in note for note in notes)


def test_pictures_that_are_all_called_masks_are_images(tmp_path) -> None:
    for index in range(12):
        picture(tmp_path / f"face_{index}_mask.png", index)
    assert sum(sizes(load(tmp_path))) == 12


def test_an_abnormal_image_without_a_mask_is_left_out(tmp_path) -> None:
    (anomaly_set(tmp_path) / "ground_truth/hole/041_mask.png").unlink()
    splits = load(tmp_path)
    assert has_note(splits, "1 abnormal test files have no mask")
    assert (splits.test.masks[8] == masks.UNKNOWN).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: picture(path, size=8), "1 x 8 x 8, and its image"),
        (lambda path: path.write_text("no image"), "readable masks"),
    ],
)
def test_a_mask_that_is_refused(tmp_path, make, words) -> None:
    make(anomaly_set(tmp_path) / "ground_truth" / "hole" / "041_mask.png")
    with pytest.raises(InputError, match=words):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["png", "webp", "tif", "nii"])
def test_a_mask_marks_what_is_neither_black_nor_transparent(
    tmp_path, kind
) -> None:
    path = tmp_path / f"a_mask.{kind}"
    marked = np.zeros((1, SIZE, SIZE), bool)
    marked[0, 4:8, 4:8] = True
    if kind == "nii":
        # Scaled, the values are 5 and 2.5; the header shows 5 to 9 as grey.
        stored = np.asarray(-marked.T[::-1, ::-1].astype(np.int16))
        scan = nibabel.Nifti1Image(stored, np.eye(4))
        scan.header["cal_min"], scan.header["cal_max"] = 5, 9
        scan.header.set_slope_inter(2.5, 5)
        scan.to_filename(path)
        content = bytearray(path.read_bytes())
        at = int(scan.header.get_data_offset() or 352)
        content[at:] = stored.tobytes(order="F")
        path.write_bytes(content)
    else:
        values = np.zeros((SIZE, SIZE, 4), np.uint8)
        values[marked[0]] = 255, 0, 0, 255
        values[0, 0, 3] = 255  # Black.
        options = {"lossless": True} if kind == "webp" else {}
        Image.fromarray(values).save(path, **options)
    np.testing.assert_array_equal(
        masks._read(path, (1, SIZE, SIZE), "axial", 1), marked
    )


def test_masks_of_whole_images_are_said(tmp_path) -> None:
    anomaly_set(tmp_path)
    assert not has_note(load(tmp_path), "mark every pixel")
    mask(tmp_path / "ground_truth" / "hole" / "041_mask.png", ...)
    assert has_note(load(tmp_path), "1 masks mark every pixel")


@pytest.mark.parametrize("side", [4, 5, 16, 23])
def test_no_defect_vanishes_when_masks_are_resized(side) -> None:
    for at in range(SIZE):
        marked = np.zeros((1, SIZE, SIZE), bool)
        marked[0, at, 3] = True
        small = masks._shrink(marked, (side, side))
        assert small.shape == (1, side, side) and small.any()
        assert small.sum() <= max(1, (side / SIZE + 1) ** 2)


def overlap_by_thresholds(heat: np.ndarray, marks: np.ndarray) -> float:
    """Returns PRO by its definition: threshold by threshold."""
    rates, overlaps = [0.0], [0.0]
    for threshold in np.unique(heat)[::-1]:
        above = heat >= threshold
        rates.append(above[marks == 0].mean())
        parts = []
        for image, mark in zip(above, marks, strict=True):
            regions, num = ndimage.label(mark, np.ones((3, 3)))
            parts += [image[regions == i].mean() for i in range(1, num + 1)]
        overlaps.append(np.mean(parts))
    grid = np.linspace(0, 0.3, 200_001)
    return np.trapezoid(np.interp(grid, rates, overlaps), grid) / 0.3


@pytest.mark.parametrize("seed", range(4))
def test_pixel_auroc_and_pro_are_those_of_their_definitions(seed) -> None:
    rng = np.random.default_rng(seed)
    marks = np.zeros((4, 12, 12), np.int8)
    marks[0, 2:9, 2:9] = marks[1, 1, 1] = marks[1, 2, 2] = marks[2, 8:, :2] = 1
    heat = rng.random(marks.shape) + 0.7 * marks * rng.random((4, 1, 1))
    figures = masks.measure(heat[..., None], marks)
    expected = overlap_by_thresholds(heat, marks)
    assert figures["pro"] == pytest.approx(expected, abs=1e-3)
    assert figures["pixel_auroc"] == pytest.approx(
        roc_auc_score(marks.ravel(), heat.ravel())
    )


def test_pixels_without_a_known_truth_do_not_count() -> None:
    marks = np.zeros((3, 8, 8), np.int8)
    marks[0, 2:4, 2:4] = 1
    heat = marks[..., None].astype(np.float32)
    assert masks.measure(heat, marks) == {"pixel_auroc": 1.0, "pro": 1.0}
    marks[2], heat[2] = masks.UNKNOWN, 9.0
    assert masks.measure(heat, marks) == {"pixel_auroc": 1.0, "pro": 1.0}
    assert masks.measure(heat, np.zeros_like(marks)) == {}
    assert masks.measure(heat, None) == {}


def test_files_of_every_kind_in_one_folder(tmp_path) -> None:
    fill(tmp_path / "normal", 12)
    own = {path.name: path for path in OWN_FILES}
    for name in ("liver_1frame.dcm", "rtplan.dcm"):
        shutil.copy(own[name], tmp_path / "normal" / name)
    shutil.copy(own["DICOMDIR-empty.dcm"], tmp_path / "normal" / "DICOMDIR")
    (tmp_path / "normal" / "LICENSE").write_text("free")
    picture(tmp_path / "normal" / "a.bmp")
    picture(tmp_path / "normal" / "b.webp", lossless=True)
    picture(tmp_path / "normal" / "c.gif")
    write(tmp_path / "normal" / "IM1", np.tile(RAMP, (2, 2)))
    values = np.random.default_rng(0).random((SIZE, SIZE, 5), np.float32)
    scan = nibabel.Nifti1Image(values, np.eye(4))
    scan.to_filename(tmp_path / "normal" / "d.nii.gz")
    splits = load(tmp_path)
    assert sum(sizes(splits)) == 12 + 4 + 5
    assert splits.train.feature_shape[:2] == (SIZE, SIZE)
    assert has_note(splits, "left out 3 DICOM objects that are no images")
    assert has_note(splits, "left out 1 without a suffix")


def test_the_plane_of_a_volume_is_the_users(tmp_path) -> None:
    for index in range(6):
        values = np.full((6, 7, 8), index, np.float32)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)),
                     tmp_path / f"{index}.nii")  # fmt: skip
    assert load(tmp_path).train.feature_shape == (7, 6, 1)
    assert load(tmp_path, plane="coronal").train.feature_shape == (8, 6, 1)
    assert load(tmp_path, plane="sagittal").train.feature_shape == (8, 7, 1)


def test_all_slices_of_a_volume_are_in_one_split(tmp_path) -> None:
    for index in range(8):
        values = np.full((6, 6, 3), index, np.float32)
        values[0, 0], values[5, 5] = 10, 0
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)),
                     tmp_path / f"{index}.nii")  # fmt: skip
    splits = load(tmp_path)
    shades = [
        set(np.round(10 * split.features[:, 3, 3, 0]).tolist())
        for split in (splits.train, splits.valid, splits.test)
    ]
    assert sum(map(len, shades)) == len(set.union(*shades)) == 8


def test_what_predict_takes_from_a_folder(tmp_path, capsys) -> None:
    for name in ("a.bmp", "b.webp", "c.png", "d.tif"):
        picture(tmp_path / name)
    mask(tmp_path / "c_mask.png")
    own = {path.name: path for path in OWN_FILES}
    shutil.copy(own["rtplan.dcm"], tmp_path / "plan.dcm")
    shutil.copy(own["MR_small_RLE.dcm"], tmp_path / "scan.dcm")
    scan = nibabel.Nifti1Image(np.ones((4, 5, 2), np.int16), np.eye(4))
    scan.to_filename(tmp_path / "v.nii.gz")
    config = app.Config(mode="predict", inputs=str(tmp_path))
    names = [name for name, _ in predict._frames(None, config)]
    assert [Path(name).name for name in names] == [
        "a.bmp", "b.webp", "c.png", "d.tif", "scan.dcm", "v.nii.gz#1",
        "v.nii.gz#2",
    ]  # fmt: skip
    printed = capsys.readouterr().out.replace("\n", " ")
    assert "RT Plan Storage" in printed and "it is a mask" in printed
    config = app.Config(mode="predict", inputs=str(tmp_path / "plan.dcm"))
    with pytest.raises(InputError, match="RT Plan Storage"):
        list(predict._frames(None, config))
    config = app.Config(mode="predict", inputs=str(tmp_path / "c_mask.png"))
    assert len(list(predict._frames(None, config))) == 1


def test_evaluation_takes_the_test_part_with_its_masks(tmp_path) -> None:
    options = app.Config(
        mode="evaluate", dataset=str(anomaly_set(tmp_path)), plane="axial"
    )
    splits = app.load_data(options, (8, 8, 1), judge_all=True)
    assert (splits.judged, splits.test.num_examples) == ("test", 10)
    assert splits.test.masks.shape == (10, 8, 8)
    assert splits.test.masks.sum(axis=(1, 2)).max() == 4
