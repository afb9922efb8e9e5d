"""NIfTI volumes as people have them, each with the right slices."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from apps.medical_autoencoder import nifti, pictures

# Left, back and head are the directions of the axes; all values differ.
VOLUME = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def volume(
    path: Path, values: np.ndarray = VOLUME, affine: np.ndarray = LPS,
    kind: type = nibabel.Nifti1Image,
) -> Path:  # fmt: skip
    nibabel.save(kind(values, affine), path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_axial_slices_of_a_volume(tmp_path, kind, suffix) -> None:
    path = volume(tmp_path / f"a{suffix.lower()}", kind=kind)
    path = path.rename(tmp_path / f"b{suffix}")
    assert pictures.is_picture(path) and pictures.stem(path) == "b"
    slices = pictures.read(path, "").frames
    assert slices.shape == (4, 3, 2, 1) and slices.dtype == np.float32
    np.testing.assert_allclose(
        slices[..., 0], VOLUME.transpose(2, 1, 0) / 23, atol=1e-6
    )


@pytest.mark.parametrize(
    ("plane", "expected"),
    [
        ("axial", VOLUME.transpose(2, 1, 0)),
        ("coronal", VOLUME.transpose(1, 2, 0)[:, ::-1]),
        ("sagittal", VOLUME.transpose(0, 2, 1)[:, ::-1]),
    ],
)
@pytest.mark.parametrize("axes", ["RAS", "LPS", "SPL", "ILA", "PSR"])
def test_a_plane_is_that_of_the_patient(
    tmp_path, plane, expected, axes
) -> None:
    """However the file stores its axes."""
    image = nibabel.Nifti1Image(VOLUME, LPS)
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(LPS),
        nibabel.orientations.axcodes2ornt(axes),
    )
    nibabel.save(image.as_reoriented(turn), tmp_path / "a.nii")
    slices = nifti.read(tmp_path / "a.nii", plane=plane)
    np.testing.assert_allclose(slices[..., 0], expected / 23, atol=1e-6)


def test_a_big_endian_volume(tmp_path) -> None:
    image = nibabel.Nifti1Image(VOLUME.astype(">i2"), LPS)
    swapped = image.header.as_byteswapped(">")
    nibabel.Nifti1Image(VOLUME, LPS, swapped).to_filename(tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] == b"\0\0\1\x5c"
    slices = nifti.read(tmp_path / "a.nii")
    np.testing.assert_allclose(
        slices[..., 0], VOLUME.transpose(2, 1, 0) / 23, atol=1e-6
    )


def test_slope_window_and_shown_range_of_a_volume(tmp_path) -> None:
    scaled = {"scl_slope": 2, "scl_inter": -10, "sform_code": 1}
    rows = dict(zip(("srow_x", "srow_y", "srow_z"), LPS, strict=False))
    path, voxels = tmp_path / "a.nii", VOLUME.tobytes(order="F")
    path.write_bytes(header(VOLUME.shape, **scaled, **rows) + voxels)
    real = 2 * VOLUME.transpose(2, 1, 0) - 10
    np.testing.assert_allclose(
        nifti.read(path, (12.0, 10.0))[..., 0],
        np.clip((real - 7) / 10, 0, 1), atol=1e-6,
    )  # fmt: skip
    shown = {"cal_min": 5, "cal_max": 15}
    path.write_bytes(header(VOLUME.shape, **scaled, **rows, **shown) + voxels)
    np.testing.assert_allclose(
        nifti.read(path)[..., 0], np.clip((real - 5) / 10, 0, 1), atol=1e-6
    )


def test_several_volumes_and_nan(tmp_path) -> None:
    values = np.stack([VOLUME, VOLUME + 24], axis=-1).astype(np.float32)
    values[0, 0, 0, 0] = np.nan
    slices = nifti.read(volume(tmp_path / "a.nii", values))
    assert slices.shape == (8, 3, 2, 1)
    np.testing.assert_allclose(slices[7, 2, 1, 0], 1)
    assert slices[0, 0, 0, 0] == 0 and np.isfinite(slices).all()


def header(dim: tuple[int, ...], **fields) -> bytes:
    block = nibabel.Nifti1Header()
    block.set_data_dtype(np.int16)
    block["dim"][: len(dim) + 1] = (len(dim), *dim)
    block["magic"] = b"n+1"
    block["vox_offset"] = 352
    for name, value in fields.items():
        block[name] = value
    return block.binaryblock + b"\0" * 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a NIfTI volume"),
        (b"text" * 200, "not a NIfTI volume"),
        (header((2, 3, 4))[:200], "not a NIfTI volume"),
        (header((2, 3, 4)), "shorter than its header says"),
        (header((20_000, 20_000, 20_000)), "claims 8,000,000.0 megapixels"),
        (header((0, 3, 4)), "damaged|shorter"),
        (header((2, 3, 4), magic=b"ni1"), "single file"),
        (header((2, 3, 4), vox_offset=2e9), "damaged"),
        (header((2, 3, 4), vox_offset=8), "damaged"),
        (header((2, 3, 4), datatype=128, bitpix=24), "single numbers"),
        (header((2, 3, 4), datatype=32, bitpix=64), "single numbers"),
        (header((2, 3, 4, 1, 3)), "single numbers"),
        (header((2, 3, 4), datatype=999), "damaged"),
        (b"\x1f\x8bno gzip", "unzipped"),
        (gzip.compress(header((2, 3, 4)), mtime=0)[:-9], "unzipped|shorter"),
    ],
)
def test_a_volume_that_is_refused(tmp_path, content, words) -> None:
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(pictures.UnreadableError, match=words) as caught:
        pictures.read(tmp_path / "a.nii", "")
    assert "\n" not in str(caught.value)


def test_a_zipped_volume_is_unzipped_only_so_far(tmp_path, monkeypatch) -> None:
    content = header((2, 3, 4)) + VOLUME.tobytes() + bytes(50 * 2**20)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content, mtime=0))
    sizes = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(
        gzip.GzipFile, "read",
        lambda file, size=-1: sizes.append(size) or read(file, size),
    )  # fmt: skip
    assert nifti.read(tmp_path / "a.nii.gz").shape == (4, 3, 2, 1)
    assert sum(sizes) == 352 + VOLUME.nbytes and min(sizes) >= 0
