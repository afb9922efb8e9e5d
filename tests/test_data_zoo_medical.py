"""DICOM files of every kind that people have, each with the right pixels."""

import base64
import io
import struct
import warnings
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import encaps, uid
from test_medical_autoencoder_dicom import OWN_FILES, RAMP, frame, write

from apps.medical_autoencoder import dicom, frames, pictures

# RAMP as JPEG 2000 of high throughput, and as JPEG of 12 bits, both without
# loss; written by imagecodecs 2026.1.14. No library here writes them.
HIGH_THROUGHPUT = base64.b85decode(
    "|4;u>04YEK0000800008000000000000008000080000000000009pH0sl|{2mk^A000XA"
    "QUDA90ssL31q1{@0smY86Cj9?kdTm&kdTm&kdTmwh=~7W02crOPjF>!N>E53R%LP^FfKAS"
    "E-)_tkN^q*00000RsaG2lfVEbZT$rYbN~PVzyK1!022U^0S9ydj{E|LbO68r6F>kHfQIn^"
    "f^+~r`uG5YQ~<yLCx8G{fbQ;~r^0mr{(ir}Apz{R0RPz"
)
TWELVE_BITS = base64.b85decode(
    "|JeWF01!$>Nk#wx0RR9200961|JwjV009930RaI40RaI40RaI40RaI40RaI40RaI40RaI4"
    "0RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40sp}O3k(1V00;pA5di<h02BZL00000"
    "00000000000000E|HJ?s5C8xM0{{R30000000000000RLC^bh^Wpe-800;pA002J#AAVbD"
    "xS$wbHEqVUfB)G"
)
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
    "frames": (np.stack([LARGE, LARGE[::-1]]), {"NumberOfFrames": 2}),
    "inverted": (LARGE, {"PhotometricInterpretation": "MONOCHROME1"}),
    "colour": (np.stack([BYTES, BYTES.T, 255 - BYTES], axis=-1), COLOUR),
}
LOSSLESS = (
    "JPEGLosslessProcess14", "JPEGLosslessProcess14_1", "JPEGLSLossless",
    "JPEGLSNearLossless", "JPEG2000Lossless", "RLELossless",
)  # fmt: skip


def coded(path: Path, syntax: str) -> Path:
    """Writes a DICOM file again in another coding, by GDCM."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(
        gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax))
    )
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path.with_name("coded.dcm")))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return path.with_name("coded.dcm")


def encapsulated(path: Path, content: bytes, syntax: str, **changes) -> Path:
    """Writes a DICOM file whose only frame is `content`."""
    dataset = pydicom.dcmread(write(path, **changes))
    dataset.PixelData = encaps.encapsulate([content])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = getattr(uid, syntax)
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


@pytest.mark.parametrize(
    "syntax", ["HTJ2KLossless", "HTJ2KLosslessRPCL", "HTJ2K"]
)
def test_high_throughput_jpeg_2000(tmp_path, syntax) -> None:
    path = encapsulated(tmp_path / "a.dcm", HIGH_THROUGHPUT, syntax)
    np.testing.assert_allclose(frame(path), RAMP / 1008, atol=1e-6)


def test_jpeg_of_12_bits(tmp_path, capfd) -> None:
    path = encapsulated(tmp_path / "a.dcm", TWELVE_BITS, "JPEGExtended12Bit")
    np.testing.assert_allclose(frame(path), RAMP / 1008, atol=1e-6)
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
    path = encapsulated(
        tmp_path / "a.dcm", file.getvalue(), syntax, stored=BYTES, **EIGHT_BITS
    )
    np.testing.assert_allclose(frame(path), BYTES / BYTES.max(), atol=0.02)


def claiming(content: bytes, start: bytes) -> bytes:
    """Returns a frame whose header, behind `start`, says 500 x 400 pixels."""
    assert content.count(start) == 1
    at = content.index(start) + len(start) + 3  # Length and precision.
    return content[:at] + struct.pack(">HH", 500, 400) + content[at + 4 :]


@pytest.mark.parametrize(
    ("syntax", "start"),
    [
        ("JPEGLosslessProcess14_1", b"\xff\xc3"),
        ("JPEGLSLossless", b"\xff\xf7"),
    ],
)
def test_a_frame_may_not_claim_more(tmp_path, syntax, start) -> None:
    path = coded(write(tmp_path / "a.dcm", LARGE), syntax)
    path.write_bytes(claiming(path.read_bytes(), start))
    with pytest.raises(dicom.UnreadableError, match=r"claims 0\.2 megapixels"):
        dicom.read(path, "", max_megapixels=0.1)


def test_a_frame_of_12_bits_may_not_claim_more(tmp_path) -> None:
    content = claiming(TWELVE_BITS, b"\xff\xc1")
    path = encapsulated(tmp_path / "a.dcm", content, "JPEGExtended12Bit")
    with pytest.raises(dicom.UnreadableError, match=r"claims 0\.2 megapixels"):
        dicom.read(path, "", max_megapixels=0.1)


@pytest.mark.parametrize(
    "content",
    [b"\0" * 99, b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xc3", b"\xff\xd8"],
)
def test_a_frame_that_claims_nothing_is_not_decoded(content) -> None:
    with pytest.raises(dicom.UnreadableError, match="cannot be decoded"):
        frames._frame_pixels(content, uid.JPEGLosslessSV1)


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
