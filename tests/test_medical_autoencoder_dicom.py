"""DICOM and TIFF: every kind is read or refused; no patient is named."""

import io
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import encaps
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from apps.medical_autoencoder import dicom, pictures

OWN_FILES = sorted((Path(pydicom.__file__).parent / "data").rglob("*.dcm"))
IDENTITY = {
    "PatientName": "Doe^Zebulon",
    "PatientID": "ID-987654321",
    "PatientBirthDate": "19010203",
    "PatientAddress": "Nowhere Lane 7",
    "OtherPatientIDs": "OTHER-55501",
    "ReferringPhysicianName": "Quackenbush^Q",
    "InstitutionName": "St Elsewhere",
    "AccessionNumber": "ACC-424242",
    "StudyDescription": "Followup of Zebulon",
    "StudyInstanceUID": "1.2.826.0.1.999",
    "SeriesInstanceUID": "1.2.826.0.1.998",
    "SOPInstanceUID": "1.2.826.0.1.997",
}
SECRETS = ("Zebulon", "987654321", "19010203", "Nowhere", "OTHER-555",
           "Quackenbush", "Elsewhere", "ACC-4242", "826.0.1.99")  # fmt: skip
RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8) * 16  # 0 to 1008.


def write(path: Path, stored: np.ndarray = RAMP, **changes) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    fields = {
        "Rows": stored.shape[-2], "Columns": stored.shape[-1],
        "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11,
        "PixelRepresentation": int(stored.dtype == np.int16),
        "PixelData": stored.tobytes(), **changes,
    }  # fmt: skip
    for name, value in fields.items():
        setattr(dataset, name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(path)
    return path


def frame(path: Path, **options) -> np.ndarray:
    return dicom.read(path, "salt", **options).frames[0, ..., 0]


def test_pydicoms_own_files_are_read_or_refused(capfd, caplog) -> None:
    read, refused = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in OWN_FILES:
            try:
                frames = dicom.read(path, "salt").frames
            except dicom.UnreadableError as error:
                refused.append(str(error))
                continue
            assert frames.dtype == np.float32 and frames.ndim == 4
            assert 0 <= frames.min() <= frames.max() <= 1
            assert frames.shape[-1] in (1, 3)
            read.append(path.name)
    assert len(OWN_FILES) >= 100 and len(read) >= 60
    assert {"CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm"} <= set(read)
    assert {"rtdose.dcm", "examples_ybr_color.dcm"} <= set(read)  # Frames.
    assert all(line.startswith(("it ", "its ")) for line in refused)
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_the_same_scan_in_six_encodings_is_the_same() -> None:
    names = ("", "_RLE", "_bigendian", "_expb", "_implicit", "_jp2klossless")
    folder = next(path.parent for path in OWN_FILES if path.stem == "MR_small")
    first, *others = (
        dicom.read(folder / f"MR_small{name}.dcm", "").frames for name in names
    )
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_without_a_window_the_range_is_the_scale(tmp_path) -> None:
    pixels = frame(write(tmp_path / "a"))
    np.testing.assert_allclose(pixels, RAMP / 1008, atol=1e-6)


def test_monochrome_1_is_turned_around(tmp_path) -> None:
    path = write(tmp_path / "a", PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(frame(path), 1 - RAMP / 1008, atol=1e-6)


def test_slope_intercept_and_window(tmp_path) -> None:
    # 2 x - 500 in Hounsfield; DICOM's linear window (PS3.3 C.11.2.1.2.1).
    path = write(
        tmp_path / "a", RescaleSlope=2, RescaleIntercept=-500,
        WindowCenter=100, WindowWidth=401,
    )  # fmt: skip
    expected = np.clip((RAMP * 2.0 - 500 - 99.5) / 400 + 0.5, 0, 1)
    np.testing.assert_allclose(frame(path), expected, atol=1e-6)
    expected = np.clip((RAMP * 2.0 - 500) / 1000 + 0.5, 0, 1)
    pixels = frame(path, window=(0.0, 1000.0))
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


def test_a_negative_slope_keeps_its_meaning(tmp_path) -> None:
    path = write(
        tmp_path / "a", RescaleSlope=-1, RescaleIntercept=0,
        WindowCenter=-504, WindowWidth=1009,
    )  # fmt: skip
    pixels = frame(path)
    assert pixels[0, 0] > 0.999 and pixels[-1, -1] < 0.001


def test_a_table_in_place_of_a_window(tmp_path) -> None:
    item = pydicom.Dataset()
    item.LUTDescriptor = [1024, 0, 16]
    table = np.minimum(2 * np.arange(1024), 1023) * 64
    item.LUTData = table.astype("<u2").tobytes()
    path = write(tmp_path / "a", VOILUTSequence=pydicom.Sequence([item]))
    expected = np.minimum(2 * RAMP.astype(float), 1023) * 64 / 65535
    np.testing.assert_allclose(frame(path), expected, atol=1e-6)


def test_frames_are_images(tmp_path) -> None:
    stored = np.stack([RAMP, RAMP[::-1]])
    scan = dicom.read(write(tmp_path / "a", stored, NumberOfFrames=2), "")
    assert scan.frames.shape == (2, 8, 8, 1)
    np.testing.assert_array_equal(scan.frames[0], scan.frames[1, ::-1])


def test_a_patient_leaves_as_a_salted_hash(tmp_path) -> None:
    path = write(tmp_path / "a", PatientID="12345", BurnedInAnnotation="YES")
    scan, same, other = (dicom.read(path, salt) for salt in "aab")
    assert scan.patient == same.patient != other.patient
    assert len(scan.patient) == 64 and "12345" not in scan.patient
    assert scan.has_text
    assert dicom.read(write(tmp_path / "b"), "a").patient == ""


def test_damaged_headers_name_no_one(tmp_path, capfd) -> None:
    content = write(tmp_path / "a", PatientName="Secret^Name").read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "b"
    for _ in range(100):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 8):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(10, len(content))])
        try:
            dicom.read(path, "")
        except dicom.UnreadableError as error:
            assert "Secret" not in str(error)
            # A traceback would quote pydicom, which quotes the header.
            assert error.__suppress_context__ or error.__context__ is None
    assert capfd.readouterr() == ("", "")


def test_a_header_that_claims_too_much_is_refused(tmp_path) -> None:
    path = write(tmp_path / "a", NumberOfFrames=2**31 - 1)
    with pytest.raises(dicom.UnreadableError, match="claims"):
        dicom.read(path, "")


def test_the_limit_counts_all_frames(tmp_path) -> None:
    stored = np.stack([RAMP, RAMP])
    path = write(tmp_path / "a", stored, NumberOfFrames=2)
    assert dicom.read(path, "", max_megapixels=1e-6 * 128).size == (8, 8)
    with pytest.raises(dicom.UnreadableError, match="--max_megapixels"):
        dicom.read(path, "", max_megapixels=1e-6 * 127)


def test_a_deflated_file_is_inflated_only_so_far(tmp_path) -> None:
    path = write(tmp_path / "a")
    dataset = pydicom.dcmread(path)
    syntax = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(frame(path), frame(write(tmp_path / "b")))
    dataset.add_new(0x00091001, "OB", bytes(60 * 2**20))
    dataset.save_as(path, enforce_file_format=True)
    assert path.stat().st_size < 2**17
    with pytest.raises(dicom.UnreadableError, match="it inflates to more"):
        dicom.read(path, "", max_megapixels=1)


def test_a_jpeg_inside_a_file_may_not_claim_more(tmp_path) -> None:
    path = write(tmp_path / "a")
    dataset = pydicom.dcmread(path)
    file = io.BytesIO()
    Image.fromarray(np.zeros((500, 400), np.uint8)).save(file, "JPEG")
    dataset.PixelData = encaps.encapsulate([file.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(dicom.UnreadableError, match=r"claims 0\.2 megapixels"):
        dicom.read(path, "", max_megapixels=0.1)


def test_the_pages_of_a_tiff_are_counted(tmp_path) -> None:
    page = Image.fromarray(np.zeros((100, 100), np.uint8))
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page] * 3)
    path = tmp_path / "a.tif"
    assert pictures.read(path, "", (), 0.04).frames.shape[0] == 4
    with pytest.raises(pictures.UnreadableError, match="--max_megapixels"):
        pictures.read(path, "", (), 0.039)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.dcm"])
def test_only_regular_files_are_opened(name, tmp_path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(pictures.UnreadableError, match="not a regular file"):
        pictures.read(tmp_path / name, "")


@pytest.mark.parametrize(
    ("mode", "top"), [("L", 255), ("I;16", 65535), ("RGB", 255)]
)
def test_tiff_of_8_and_16_bits(tmp_path, mode, top) -> None:
    values = (RAMP * (top / 1008)).astype(np.uint16 if top > 255 else np.uint8)
    array = np.stack([values] * 3, -1) if mode == "RGB" else values
    Image.fromarray(array).save(tmp_path / "a.tif")
    frames = pictures.read(tmp_path / "a.tif", "").frames
    assert frames.shape == (1, 8, 8, 3 if mode == "RGB" else 1)
    np.testing.assert_allclose(frames[0, ..., 0], values / top, atol=1e-6)


def ten_bit_tiff(path: Path) -> Path:
    """Writes a TIFF of 10 bits per pixel, which Pillow cannot write."""
    tags = [(256, 8), (257, 8), (258, 10), (259, 1), (262, 1), (273, 200),
            (277, 1), (278, 8), (279, 80)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0" * 4
    path.write_bytes(head.ljust(200, b"\0") + bytes(80))
    return path


def test_what_is_no_picture_is_refused_in_a_line(tmp_path) -> None:
    (tmp_path / "zero.png").touch()
    (tmp_path / "zero.dcm").touch()
    (tmp_path / "zero.tif").touch()
    (tmp_path / "text.jpg").write_text("no image")
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "float.tif")
    ten_bit_tiff(tmp_path / "ten.tif")
    for path in tmp_path.iterdir():
        with pytest.raises(pictures.UnreadableError, match=r"^its? ") as caught:
            pictures.read(path, "")
        assert "\n" not in str(caught.value)


def test_png_keeps_16_bits_and_jpeg_its_grey(tmp_path) -> None:
    values = (RAMP * 65).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    pixels = pictures.read(tmp_path / "a.png", "").frames[0, ..., 0]
    np.testing.assert_allclose(pixels, values / 65535, atol=1e-6)
    Image.fromarray((RAMP // 4).astype(np.uint8)).save(
        tmp_path / "a.jpg", quality=100
    )
    pixels = pictures.read(tmp_path / "a.jpg", "").frames[0, ..., 0]
    np.testing.assert_allclose(pixels, (RAMP // 4) / 255, atol=0.05)


def test_fit_keeps_grey_grey() -> None:
    grey = np.random.default_rng(0).random((4, 9, 9, 1), np.float32)
    colour = pictures.fit(grey, (9, 9, 3))
    np.testing.assert_allclose(pictures.fit(colour, (9, 9, 1)), grey, atol=1e-6)
    assert pictures.fit(grey, (16, 20, 1)).shape == (4, 16, 20, 1)


def test_a_damaged_jpeg_is_refused_without_the_lines_of_its_decoder(
    tmp_path, capfd
) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    content[2 + 2] ^= 0xFF  # The length of the first segment.
    path.write_bytes(content)
    with pytest.raises(pictures.UnreadableError):
        pictures.read(path, "")
    assert capfd.readouterr().err == ""
