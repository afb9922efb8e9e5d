"""The stored values of DICOM files: their sizes are checked, then decoded."""

import contextlib
import io
import struct
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import encaps, pixels, uid

from common.data import encoded
from common.data.encoded import UnreadableError

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
JP2_START, CODESTREAM_BOX = b"\x00\x00\x00\x0cjP  ", b"jp2c"
BOX_HEADER_BYTES = 8
# The markers of a frame's header in JPEG (SOF0 to SOF15) and JPEG-LS (SOF55).
JPEG_START = b"\xff\xd8"
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
# High throughput is a coding of JPEG 2000 too.
J2K = (*uid.JPEG2000TransferSyntaxes, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL,
       uid.HTJ2K)  # fmt: skip
PLUGIN = "imagecodecs"
# pydicom reads this name: which libraries each transfer syntax needs.
DECODER_DEPENDENCIES = dict.fromkeys(
    (*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes, *J2K), (PLUGIN,)
)


def decode(dataset: Any, max_megapixels: float) -> np.ndarray:
    """Returns the stored values of a data set, decoded.

    Args:
        dataset: The data set of pydicom.
        max_megapixels: The most pixels, in millions, that all frames together
            may have.

    Returns:
        `(num, height, width, channels)`, of the data set's own dtype.

    Raises:
        UnreadableError: If there are no pixels, or too many, or if no library
            decodes them.
    """
    if not any(name in dataset for name in PIXELS):
        raise UnreadableError("it has no pixel data")
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    if syntax is None:
        raise UnreadableError("it does not say its transfer syntax")
    frames = int(dataset.get("NumberOfFrames") or 1)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    size = int(dataset.Rows) * int(dataset.Columns) * frames
    if size < 1 or samples not in (1, 3):
        raise UnreadableError("it claims no pixels, or none that can be shown")
    encoded.check_pixels(size, max_megapixels)
    if "PixelData" in dataset and getattr(syntax, "is_encapsulated", False):
        _check_encapsulated(dataset, syntax, frames, max_megapixels)
    try:
        values = _stored(dataset, syntax)
    except RuntimeError:  # Also what pydicom raises for an unknown syntax.
        raise _undecodable(syntax) from None
    return values.reshape(frames, dataset.Rows, dataset.Columns, samples)


def _stored(dataset: Any, syntax: Any) -> np.ndarray:
    """Returns the stored values, decoded by Pillow where it can.

    Elsewhere imagecodecs decodes them, through `decode_frame`.
    """
    if syntax in DECODER_DEPENDENCIES:
        decoder = pixels.get_decoder(syntax)
        if "pillow" in decoder.available_plugins:
            with contextlib.suppress(RuntimeError):
                return pixels.pixel_array(dataset, decoding_plugin="pillow")
        # The module itself is what pydicom calls a plug-in.
        if PLUGIN not in decoder.available_plugins:
            decoder.add_plugin(PLUGIN, (__name__, decode_frame.__name__))
        return pixels.pixel_array(dataset, decoding_plugin=PLUGIN)
    return pixels.pixel_array(dataset)


def is_available(syntax: str) -> bool:
    """Tells pydicom that `decode_frame` takes a transfer syntax."""
    return syntax in DECODER_DEPENDENCIES


def decode_frame(frame: bytes, runner: Any) -> bytes:
    """Decodes a frame for pydicom: JPEG of any kind, JPEG-LS or JPEG 2000.

    Args:
        frame: The compressed frame.
        runner: pydicom's `DecodeRunner`, which is told what was returned.

    Returns:
        The stored values, the colours of a pixel one after another.

    Raises:
        ValueError: If the frame is not of the size that the data set says.
        RuntimeError: If it is damaged.
    """
    syntax = runner.transfer_syntax
    if syntax in uid.JPEGLSTransferSyntaxes:
        values = imagecodecs.jpegls_decode(frame)
    elif syntax in J2K:
        values = imagecodecs.jpeg2k_decode(frame)
        if runner.photometric_interpretation.startswith("YBR"):
            runner.set_option("photometric_interpretation", "RGB")
    elif runner.samples_per_pixel == 3:
        # The same on both sides: the colours stay as they are stored.
        values = imagecodecs.jpeg8_decode(
            frame, colorspace="YCBCR", outcolorspace="YCBCR"
        )
    else:
        values = imagecodecs.jpeg8_decode(frame)
    shape = (runner.rows, runner.columns, runner.samples_per_pixel)
    if values.shape != shape[: values.ndim] or values.size != np.prod(shape):
        raise ValueError("A frame must have the size of its data set.")
    runner.set_option("bits_allocated", 8 * values.itemsize)
    runner.set_option("planar_configuration", 0)
    return values.tobytes()


def _undecodable(syntax: Any) -> UnreadableError:
    """Returns the error of a file whose pixels no library here decodes."""
    known = getattr(syntax, "is_transfer_syntax", False)
    return UnreadableError(
        "its pixels cannot be decoded (transfer syntax "
        f"{syntax.name if known else 'unknown'})"
    )


def _check_encapsulated(
    dataset: Any, syntax: Any, num_frames: int, max_megapixels: float
) -> None:
    """Refuses frames whose own headers claim too many pixels.

    A JPEG frame may claim more pixels than the header of the DICOM file does.

    Raises:
        UnreadableError: If the frames claim more than `max_megapixels`, or if
            they do not say how many pixels they have.
    """
    if syntax == uid.RLELossless:
        # Its frames have no header of their own, and can store at most 64
        # bytes in a single byte.
        return
    num_pixels = 0
    for frame in encaps.generate_frames(
        dataset.PixelData, number_of_frames=num_frames
    ):
        num_pixels += _frame_pixels(frame, syntax)
        encoded.check_pixels(num_pixels, max_megapixels)


def _frame_pixels(frame: bytes, syntax: Any) -> int:
    """Returns the number of pixels that a compressed frame claims."""
    num_pixels = 0
    if frame.startswith(JPEG_START):
        num_pixels = _jpeg_pixels(frame)
    else:  # JPEG 2000, whose header is the same in high throughput.
        _check_boxes(frame, syntax)
        with (
            contextlib.suppress(OSError),
            Image.open(io.BytesIO(frame), formats=("JPEG2000",)) as image,
        ):
            num_pixels = image.width * image.height
    if not num_pixels:
        raise _undecodable(syntax)
    return num_pixels


def _check_boxes(frame: bytes, syntax: Any) -> None:
    """Refuses a JPEG 2000 file in whose boxes pydicom would search for ever.

    A box has a header of 8 bytes, which its length counts; see ITU-T T.800,
    I.4.
    """
    at = 0
    while frame.startswith(JP2_START) and at < len(frame):
        length = int.from_bytes(frame[at : at + 4], "big")
        if frame[at + 4 : at + 8] == CODESTREAM_BOX:
            return
        if length < BOX_HEADER_BYTES:
            raise _undecodable(syntax)
        at += length


def _jpeg_pixels(frame: bytes) -> int:
    """Returns the pixels that a JPEG or JPEG-LS frame claims; 0 for none.

    Pillow does not read the headers of 12 bits and of JPEG-LS. See ITU-T T.81,
    B.2.2, and T.87, C.2.2.
    """
    at = len(JPEG_START)
    while at + 9 <= len(frame):
        start, marker, length, _, height, width = struct.unpack_from(
            ">BBHBHH", frame, at
        )
        if start != 0xFF:
            break
        if marker in FRAME_HEADERS:
            return height * width
        # Any number of bytes 0xFF may stand before a marker.
        at += 1 if marker == 0xFF else 2 + length
    return 0
