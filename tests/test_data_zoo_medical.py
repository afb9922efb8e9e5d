"""DICOM files of every kind that people have, each with the right pixels."""

import io
import struct
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import encaps, pixels, uid
from test_medical_autoencoder_dicom import OWN_FILES, RAMP, frame, write

from apps.medical_autoencoder import dicom, frames, pictures

EIGHT_BITS = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
SIGNED = {"BitsStored": 16, "HighBit": 15}
COLOUR = {
    **EIGHT_BITS, "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB",
    "PlanarConfiguration": 0, "Rows": 16, "Columns": 16,
}  # fmt: skip
LARGE = np.tile(RAMP, (2, 2))
BYTES = (LARGE // 4).astype(np.uint8)
# What is stored, and what the header says of it.
STORED = {
    "12_bits": (LARGE, {}),
    "8_bits": (BYTES, EIGHT_BITS),
    "signed": (LARGE.astype(np.int16) - 500, SIGNED),
    "signed_12_bits": (LARGE.astype(np.int16) - 500, {}),
    "frames": (np.stack([LARGE, LARGE[::-1]]), {"NumberOfFrames": 2}),
    "inverted": (LARGE, {"PhotometricInterpretation": "MONOCHROME1"}),
    "colour": (np.stack([BYTES, BYTES.T, 255 - BYTES], axis=-1), COLOUR),
}
# How a coding is written, without loss.
LOSSLESS = {
    "JPEGLossless": lambda values: imagecodecs.jpeg8_encode(
        values, lossless=True, bitspersample=bits(values), predictor=5
    ),
    "JPEGLosslessSV1": lambda values: imagecodecs.jpeg8_encode(
        values, lossless=True, bitspersample=bits(values), predictor=1
    ),
    "JPEGLSLossless": imagecodecs.jpegls_encode,
    "JPEGLSNearLossless": imagecodecs.jpegls_encode,
    "JPEG2000Lossless": imagecodecs.jpeg2k_encode,
    "HTJ2KLossless": imagecodecs.htj2k_encode,
    "HTJ2KLosslessRPCL": imagecodecs.htj2k_encode,
    "HTJ2K": imagecodecs.htj2k_encode,
}


def bits(values: np.ndarray) -> int:
    return 8 if values.itemsize == 1 else 16


def coded(path: Path, syntax: str) -> Path:
    """Writes a DICOM file again in another coding."""
    dataset = pydicom.dcmread(path)
    values = pixels.pixel_array(dataset)
    if values.dtype == np.int16 and "JPEG2000" not in syntax:
        values = values.view(np.uint16)
    several = values if "NumberOfFrames" in dataset else values[None]
    contents = [LOSSLESS[syntax](np.ascontiguousarray(x)) for x in several]
    return encapsulated(path, contents, syntax)


def encapsulated(path: Path, contents: list[bytes], syntax: str) -> Path:
    """Writes a DICOM file again with compressed frames, as `coded.dcm`."""
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encaps.encapsulate(contents)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = getattr(uid, syntax)
    path = path.with_name("coded.dcm")
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("kind", STORED)
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_codings_are_read_as_the_plain_file(
    tmp_path, syntax, kind
) -> None:
    stored, changes = STORED[kind]
    plain = write(tmp_path / "a.dcm", stored, **changes)
    other = coded(plain, syntax)
    assert pydicom.dcmread(other).file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(
        pictures.read(other, "").frames, pictures.read(plain, "").frames
    )


def twelve_bits() -> bytes:
    return imagecodecs.jpeg8_encode(RAMP, level=100, bitspersample=12)


def test_jpeg_of_12_bits(tmp_path, capfd) -> None:
    plain = write(tmp_path / "a.dcm")
    path = encapsulated(plain, [twelve_bits()], "JPEGExtended12Bit")
    np.testing.assert_allclose(frame(path), RAMP / 1008, atol=1e-3)
    assert capfd.readouterr() == ("", "")


def test_jpeg_of_12_bits_of_a_scanner() -> None:
    (path,) = (path for path in OWN_FILES if path.name == "JPGExtended.dcm")
    # The values that pydicom's own tests expect, of 0 to 264.
    grey = 264 * frame(path, window=(132.0, 264.0))
    np.testing.assert_allclose(grey[[420, 230], [140, 120]], [244, 95])


@pytest.mark.parametrize("syntax", ["JPEGBaseline8Bit", "JPEGExtended12Bit"])
def test_jpeg_of_8_bits(tmp_path, syntax) -> None:
    file = io.BytesIO()
    Image.fromarray(BYTES).save(file, "JPEG", quality=100)
    plain = write(tmp_path / "a.dcm", BYTES, **EIGHT_BITS)
    path = encapsulated(plain, [file.getvalue()], syntax)
    np.testing.assert_allclose(frame(path), BYTES / BYTES.max(), atol=0.02)


def claiming(content: bytes, start: bytes) -> bytes:
    """Returns a frame whose header, behind `start`, says 500 x 400 pixels."""
    assert content.count(start) == 1
    at = content.index(start) + len(start) + 3  # Length and precision.
    return content[:at] + struct.pack(">HH", 500, 400) + content[at + 4 :]


@pytest.mark.parametrize(
    ("syntax", "start"),
    [
        ("JPEGLosslessSV1", b"\xff\xc3"),
        ("JPEGLSLossless", b"\xff\xf7"),
        ("JPEGExtended12Bit", b"\xff\xc1"),
    ],
)
def test_a_frame_may_not_claim_more(tmp_path, syntax, start) -> None:
    encode = LOSSLESS.get(syntax, lambda values: twelve_bits())
    content = claiming(encode(RAMP), start)
    path = encapsulated(write(tmp_path / "a.dcm"), [content], syntax)
    with pytest.raises(dicom.UnreadableError, match=r"claims 0\.2 megapixels"):
        dicom.read(path, "", max_megapixels=0.1)
    with pytest.raises(dicom.UnreadableError):
        dicom.read(path, "")


@pytest.mark.parametrize(
    "content",
    [b"\0" * 99, b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xc3", b"\xff\xd8"],
)
def test_a_frame_that_claims_nothing_is_not_decoded(content) -> None:
    with pytest.raises(dicom.UnreadableError, match="cannot be decoded"):
        frames._frame_pixels(content, uid.JPEGLosslessSV1)


def test_boxes_without_a_length_are_not_searched_for_ever() -> None:
    """pydicom would: a box of length 0 leads to itself."""
    content = imagecodecs.jpeg2k_encode(RAMP, codecformat="jp2")
    pixels = frames._frame_pixels(content, uid.JPEG2000Lossless)
    assert pixels == RAMP.size
    lost = content.replace(b"jp2c", b"j)2c") + bytes(8)
    with pytest.raises(dicom.UnreadableError, match="cannot be decoded"):
        frames._frame_pixels(lost, uid.JPEG2000Lossless)


def test_fill_bytes_may_stand_before_a_marker() -> None:
    claim = b"\xff\xc3\0\x0b\x0c" + struct.pack(">HH", 3, 5) + b"\1\1\x11\0"
    padded = b"\xff\xd8\xff\xe0\0\4ab\xff\xff\xff" + claim
    assert frames._jpeg_pixels(padded) == 15


@pytest.mark.parametrize(
    ("implicit", "little"), [(True, True), (False, True), (False, False)]
)
def test_a_file_without_a_preamble(tmp_path, implicit, little) -> None:
    """ACR-NEMA also lacks what DICOM says of grey levels."""
    dataset = pydicom.dcmread(write(tmp_path / "a.dcm"))
    for name in dicom.ACR_NEMA:
        del dataset[name]
    if not little:
        dataset.PixelData = RAMP.astype(">u2").tobytes()
    dataset.add_new(0x00080010, "SH", "ACR-NEMA 2.0")
    dataset.preamble, dataset.file_meta = (
        None,
        pydicom.dataset.FileMetaDataset(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(
            tmp_path / "IM_0001", dataset, implicit_vr=implicit,
            little_endian=little, enforce_file_format=False,
        )  # fmt: skip
    assert (tmp_path / "IM_0001").read_bytes()[128:132] != b"DICM"
    assert pictures.is_picture(tmp_path / "IM_0001")
    np.testing.assert_allclose(
        frame(tmp_path / "IM_0001"), RAMP / 1008, atol=1e-6
    )


@pytest.mark.parametrize("name", ["README", "LICENSE", "1.2.840"])
def test_a_text_without_a_suffix_is_no_picture(tmp_path, name) -> None:
    (tmp_path / name).write_text("These scans are from a phantom.\n" * 9)
    assert not pictures.is_picture(tmp_path / name)


@pytest.mark.parametrize("width", [0.5, 0.999, 0.01])
def test_a_window_narrower_than_1_is_exact(tmp_path, width) -> None:
    path = write(
        tmp_path / "a", RescaleSlope=0.001, RescaleIntercept=0,
        WindowCenter=0.5, WindowWidth=width,
    )  # fmt: skip
    expected = np.clip((RAMP * 0.001 - 0.5) / width + 0.5, 0, 1)
    np.testing.assert_allclose(frame(path), expected, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"WindowCenter": 500, "WindowWidth": 0},
        {"WindowCenter": 500, "WindowWidth": -3},
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": 500},
        {"VOILUTSequence": pydicom.Sequence()},
        {"VOILUTSequence": pydicom.Sequence([pydicom.Dataset()])},
        {"ModalityLUTSequence": pydicom.Sequence()},
        {"ModalityLUTSequence": pydicom.Sequence([pydicom.Dataset()])},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": None, "RescaleIntercept": 0},
    ],
)
def test_what_is_empty_is_as_if_absent(tmp_path, changes) -> None:
    path = write(tmp_path / "a", **changes)
    np.testing.assert_allclose(frame(path), RAMP / 1008, atol=1e-6)


def test_an_intercept_of_zero_is_no_empty_one(tmp_path) -> None:
    path = write(tmp_path / "a", RescaleSlope=2, RescaleIntercept=0)
    pixels = frame(path, window=(1008.0, 2016.0))
    np.testing.assert_allclose(pixels, RAMP / 1008, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    ["liver_1frame.dcm", "reportsi.dcm", "rtplan.dcm", "waveform_ecg.dcm",
     "DICOMDIR-empty.dcm", "hotiron.dcm"],
)  # fmt: skip
def test_a_dicom_object_may_be_no_image(name) -> None:
    (path,) = (path for path in OWN_FILES if path.name == name)
    with pytest.raises(dicom.NoImageError, match="it is no image"):
        pictures.read(path, "")


def test_an_image_that_lost_its_pixels_is_damaged(tmp_path) -> None:
    dataset = pydicom.dcmread(write(tmp_path / "a.dcm"))
    dataset.SOPClassUID = uid.CTImageStorage
    del dataset.PixelData
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(dicom.UnreadableError, match="no pixel data") as caught:
        pictures.read(tmp_path / "a.dcm", "")
    assert not isinstance(caught.value, dicom.NoImageError)
