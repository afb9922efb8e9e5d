import contextlib
import io
import os
import socket
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_images import GIF, bmp, write

from common.data import encoded, image_files, image_sets, images
from common.options import InputError


def png_claiming(height: int, width: int) -> bytes:
    """Returns a PNG of a few bytes that claims any size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + crc

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header += bytes([8, 0, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )  # fmt: skip


def jpeg_claiming(height: int, width: int) -> bytes:
    """Returns a JPEG whose header has been changed."""
    content = bytearray(tf.io.encode_jpeg(np.zeros((8, 8, 3), "u1")).numpy())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = height.to_bytes(2) + width.to_bytes(2)
    return bytes(content)


def gif_claiming(height: int, width: int, frame: bool) -> bytes:
    """Returns a GIF whose screen, or first frame, has been changed."""
    content = bytearray(GIF)
    place = content.index(b"\x2c\0\0\0\0") + 5 if frame else 6
    content[place : place + 4] = (width + (height << 16)).to_bytes(4, "little")
    return bytes(content)


def bmp_claiming(height: int, width: int) -> bytes:
    """Returns a BMP whose header has been changed."""
    content = bytearray(bmp(2, 2))
    content[18:26] = (width + (height << 32)).to_bytes(8, "little")
    return bytes(content)


def animation(num: int, size: int = 40) -> bytes:
    """Returns a GIF of several frames of noise."""
    rng = np.random.default_rng(0)
    frames = [
        Image.fromarray(rng.integers(0, 255, (size, size, 3), dtype=np.uint8))
        for _ in range(num)
    ]
    file = io.BytesIO()
    frames[0].save(
        file, "GIF", save_all=True, append_images=frames[1:], comment=b"x" * 600
    )
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        png_claiming(13_000, 13_000),
        jpeg_claiming(13_000, 13_000),
        gif_claiming(13_000, 13_000, frame=False),
        gif_claiming(13_000, 13_000, frame=True),
        bmp_claiming(13_000, 13_000),
        bmp_claiming(2**32 - 13_000, 13_000),  # From the top: below zero.
    ],
)
def test_what_claims_too_much_is_not_decoded(content, tmp_path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(encoded.UnreadableError, match=r"169\.0 megapixels"):
        image_files.read(tmp_path / "a")
    for run in (images.decode, tf.function(images.decode)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="169000000"):
            run(tf.constant(content), 3)


@pytest.mark.parametrize("content", [b"", b"GIF", b"RIFF0000WEBPVP8 ", b"no"])
def test_what_is_no_image_is_not_decoded(content, tmp_path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(encoded.UnreadableError, match=r"it (is no|can)"):
        image_files.read(tmp_path / "a")
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be a PNG"):
        images.decode(tf.constant(content), 3)


def test_the_limit_is_the_users(tmp_path) -> None:
    content = tf.io.encode_png(np.zeros((50, 40, 3), np.uint8))
    assert images.decode(content, 3, 0.002).shape == (50, 40, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"0\.0019 megap"):
        images.decode(content, 3, 0.0019)


@pytest.mark.parametrize("num", [1, 2, 5])
def test_of_a_gif_one_frame_is_decoded(num, tmp_path) -> None:
    content = animation(num)
    cut = encoded.bound(tf.constant(content)).numpy()
    assert len(cut) <= len(content)
    assert content.startswith(cut[:-1])
    assert Image.open(io.BytesIO(cut)).n_frames == 1
    whole = tf.io.decode_image(content, expand_animations=False)
    np.testing.assert_array_equal(images.decode(content, 3), whole)
    # What follows may be anything.
    np.testing.assert_array_equal(
        images.decode(cut[:-1] + b"\x2c" + b"\xff" * 99, 3), whole
    )


def test_damaged_gifs_end_in_an_error_or_an_image() -> None:
    rng, content = np.random.default_rng(0), animation(2, 8)
    decode = tf.function(images.decode)
    for _ in range(100):
        damaged = np.frombuffer(content, np.uint8).copy()
        places = rng.integers(3, 60, 4)
        damaged[places] = rng.integers(0, 256, 4)
        part = damaged[: rng.integers(3, len(content))].tobytes()
        with contextlib.suppress(tf.errors.InvalidArgumentError):
            assert decode(tf.constant(part), 3, 0.01).shape[-1] == 3


def special(folder: Path, kind: str) -> None:
    """Makes something that is no regular file, named a.png."""
    if kind == "pipe":
        os.mkfifo(folder / "a.png")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(folder / "a.png"))
    elif kind == "folder":
        (folder / "a.png").mkdir()
    else:
        (folder / "a.png").symlink_to(kind)


@pytest.mark.parametrize("kind", ["pipe", "socket", "/dev/zero", "missing"])
def test_only_regular_files_are_opened(kind, tmp_path) -> None:
    for label, name in enumerate(("a", "b")):
        for index in range(4):
            image = np.full((4, 4, 3), 4 * label + index, np.uint8)
            write(tmp_path / name / f"{index}.png", image)
    special(tmp_path / "a", kind)
    with pytest.raises(encoded.UnreadableError, match="not a regular file"):
        image_files.read(tmp_path / "a" / "a.png")
    with pytest.raises(InputError, match=r"a\.png: it is not a regular file"):
        image_sets.load(str(tmp_path))
    splits = image_sets.load(str(tmp_path), skip_bad=True)
    assert "left out 1" in splits.notes[0]


def test_a_file_larger_than_its_pixels_is_not_read(tmp_path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(2**40)  # A hole: it takes no room.
    with pytest.raises(encoded.UnreadableError, match="it has 1,099,512 MB"):
        image_files.read(tmp_path / "a.png")
