"""Image files of every kind that people have, each with the right pixels."""

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps, PngImagePlugin

from apps.image_classify import train as image_classify
from apps.medical_autoencoder import pictures
from common.data import encoded, image_files, image_folder, images
from common.options import InputError

HEIGHT, WIDTH = 24, 40


def picture(mode: str = "RGB") -> Image.Image:
    """Returns a smooth picture, so that lossy files stay close to it."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    red, green = 255 * down / HEIGHT, 255 * across / WIDTH
    blue = np.full_like(red, 80)
    blue[: HEIGHT // 2, : WIDTH // 2] = 200
    colours = np.stack([red, green, blue], axis=-1).astype(np.uint8)
    return Image.fromarray(colours).convert(mode)


def save(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def oriented(number: int) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = number
    return save(picture(), "JPEG", quality=95, exif=exif)


def turned(kind: str) -> bytes:
    """Returns a file whose pixels lie on their side, and which says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return save(picture().rotate(90, expand=True), kind, exif=exif)


def with_a_long_profile() -> bytes:
    """Returns a palette PNG whose transparency comes late in the file."""
    image = Image.new("P", (WIDTH, HEIGHT), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "x" * 20_000)
    return save(image, "PNG", transparency=0, pnginfo=info)


def transparent(mode: str) -> Image.Image:
    image = picture("RGBA")
    alpha = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    image.putalpha(Image.fromarray(alpha))
    return image.convert(mode)


def sixteen_bits() -> Image.Image:
    grey = np.asarray(picture("L")).astype(np.uint16)
    return Image.fromarray(257 * grey)


def frames(kind: str) -> bytes:
    others = [Image.new("RGB", (WIDTH, HEIGHT), "black") for _ in range(3)]
    options = {"lossless": True} if kind == "WEBP" else {}
    return save(picture(), kind, save_all=True, append_images=others, **options)


# The file, and the picture that it shows.
KINDS = {
    "png": (save(picture(), "PNG"), picture()),
    "png_grey": (save(picture("L"), "PNG"), picture("L")),
    "png_16_bit": (save(sixteen_bits(), "PNG"), picture("L")),
    "png_palette": (save(picture("P"), "PNG"), picture("P")),
    "png_black_and_white": (save(picture("1"), "PNG"), picture("1")),
    "png_alpha": (save(transparent("RGBA"), "PNG"), transparent("RGBA")),
    "png_grey_alpha": (save(transparent("LA"), "PNG"), transparent("LA")),
    "jpeg": (save(picture(), "JPEG", quality=95), picture()),
    "jpeg_grey": (save(picture("L"), "JPEG", quality=95), picture("L")),
    "jpeg_progressive": (
        save(picture(), "JPEG", quality=95, progressive=True), picture(),
    ),
    "jpeg_cmyk": (save(picture("CMYK"), "JPEG", quality=95), picture("CMYK")),
    "bmp": (save(picture(), "BMP"), picture()),
    "bmp_palette": (save(picture("P"), "BMP"), picture("P")),
    "bmp_grey": (save(picture("L"), "BMP"), picture("L")),
    "bmp_black_and_white": (save(picture("1"), "BMP"), picture("1")),
    "gif": (save(picture("P"), "GIF"), picture("P")),
    "gif_animated": (frames("GIF"), picture()),
    "webp": (save(picture(), "WEBP", quality=95), picture()),
    "webp_lossless": (save(picture(), "WEBP", lossless=True), picture()),
    "webp_alpha": (
        save(transparent("RGBA"), "WEBP", lossless=True), transparent("RGBA"),
    ),
    "webp_animated": (frames("WEBP"), picture()),
    "tiff": (save(picture(), "TIFF"), picture()),
    "tiff_grey": (save(picture("L"), "TIFF"), picture("L")),
    "tiff_lzw": (save(picture(), "TIFF", compression="tiff_lzw"), picture()),
    "tiff_jpeg": (
        save(picture(), "TIFF", compression="jpeg", quality=95), picture(),
    ),
    "tiff_16_bit": (save(sixteen_bits(), "TIFF"), picture("L")),
    "tiff_cmyk": (save(picture("CMYK"), "TIFF"), picture("CMYK")),
    "tiff_16_bit_big_endian": (
        save(Image.fromarray(np.asarray(sixteen_bits()).astype(">u2")), "TIFF"),
        picture("L"),
    ),
    "tiff_alpha": (save(transparent("RGBA"), "TIFF"), transparent("RGBA")),
    "tiff_turned": (turned("TIFF"), picture()),
    "png_turned": (turned("PNG"), picture()),
    "webp_turned": (turned("WEBP"), picture()),
    "avif_turned": (turned("AVIF"), picture()),
    "png_palette_transparent": (
        with_a_long_profile(), Image.new("RGB", (WIDTH, HEIGHT), "white"),
    ),
    "gif_transparent": (
        save(Image.new("P", (WIDTH, HEIGHT), 0), "GIF", transparency=0),
        Image.new("RGB", (WIDTH, HEIGHT), "white"),
    ),
    "tiff_palette": (save(picture("P"), "TIFF"), picture("P")),
    "tiff_pages": (frames("TIFF"), picture()),
    "avif": (save(picture(), "AVIF", quality=95), picture()),
    **{
        f"jpeg_orientation_{number}": (
            oriented(number),
            ImageOps.exif_transpose(Image.open(io.BytesIO(oriented(number)))),
        )
        for number in range(10)  # 0 and 9 are none.
    },
}  # fmt: skip


def colours(image: Image.Image) -> np.ndarray:
    """Returns a picture on white, `(height, width, 3)` in [0, 255]."""
    white = Image.new("RGBA", image.size, "white")
    shown = Image.alpha_composite(white, image.convert("RGBA"))
    return np.asarray(shown.convert("RGB")).astype(float)


def difference(received: np.ndarray, expected: np.ndarray) -> float:
    assert received.shape == expected.shape
    return float(np.abs(received - expected).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_its_pixels(kind, tmp_path: Path) -> None:
    content, image = KINDS[kind]
    path = tmp_path / f"a.{kind.split('_')[0]}"
    path.write_bytes(content)
    decodable = image_files.read(path)
    received = images.decode(decodable, 3).numpy().astype(float)
    assert difference(received, colours(image)) < 3
    grey = images.decode(decodable, 1).numpy()[..., 0].astype(float)
    assert difference(grey, np.asarray(images.decode(
        save(Image.fromarray(received.astype(np.uint8)), "PNG"), 1
    ))[..., 0]) < 1  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_medical_reader_gives_the_same(kind, tmp_path: Path) -> None:
    content, image = KINDS[kind]
    path = tmp_path / f"a.{kind.split('_')[0]}"
    path.write_bytes(content)
    scan = pictures.read(path, "salt")
    received = 255 * np.asarray(pictures.to_channels(scan.frames[0], 3))
    assert difference(received, colours(image)) < 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_shows_what_a_file_shows(kind) -> None:
    # The graph decodes by itself what TensorFlow knows, or says no.
    content, image = KINDS[kind]
    decode = tf.function(
        lambda content: images.decode(content, 3),
        input_signature=[tf.TensorSpec((), tf.string)],
    )
    if kind in ("png_turned", "webp_turned", "gif_transparent"):
        return  # Whoever reads the file sends a PNG.
    needs_pillow = ("tiff", "avif", "bmp_", "webp_animated")
    if kind.startswith(needs_pillow):
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be a"):
            decode(content)
        return
    assert difference(decode(content).numpy(), colours(image)) < 3


@pytest.mark.parametrize("pipeline", ["in_memory", "streaming"])
def test_a_folder_of_all_kinds_is_read(pipeline, tmp_path: Path) -> None:
    expected = {}
    for index, (kind, (content, image)) in enumerate(KINDS.items()):
        folder = tmp_path / ("a", "b")[index % 2]
        folder.mkdir(exist_ok=True)
        suffix = kind.split("_")[0]
        (folder / f"{index}.{suffix}").write_bytes(content)
        expected[index] = colours(image)
    (tmp_path / "a" / "LICENSE").write_text("free")
    (tmp_path / "a" / "list.csv").write_text("free")
    splits = image_classify.load_data(
        image_classify.Config(
            dataset=str(tmp_path), image_size=24, pipeline=pipeline
        )
    )
    note = splits.notes[0]
    assert note.startswith("left out") and note.endswith("by their names")
    assert "1 .csv" in note and "1 without a suffix" in note
    num = sum(part.num_examples for part in (
        splits.train, splits.valid, splits.test
    ))  # fmt: skip
    left_out = sum(int(note.split()[2]) for note in splits.notes[1:])
    assert num + left_out == len(KINDS)
    # What trains is what the files show: turned, on white, the first frame.
    shown = [
        images.fit(images.decode(image_files.decodable(content), 3), (24, 24))
        for content, _ in KINDS.values()
    ]
    for part in (splits.train, splits.valid, splits.test):
        for image in part.sample(part.num_examples, 0).features:
            assert any(np.array_equal(image, other) for other in shown)


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
    splits = image_folder.load(tmp_path, 0, 32, "in_memory", 0, False)
    assert splits.class_names == ("a", "b")
    counts = [
        part.num_examples for part in (splits.train, splits.valid, splits.test)
    ]
    assert sum(counts) == 12 * len(names)
    assert min(counts) >= 2


def write_class_folders(root: Path, *names: str) -> None:
    rng = np.random.default_rng(sum(map(ord, str(root))))
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(4):
            pixels = rng.integers(0, 255, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")


def test_two_folders_of_one_split_are_named(tmp_path: Path) -> None:
    for name in ("train", "Training"):
        write_class_folders(tmp_path / name, "a", "b")
    with pytest.raises(InputError, match="Training and train"):
        image_folder.load(tmp_path, 0, 32, "in_memory", 0, False)


def test_a_class_of_one_split_is_named(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train", "a", "b")
    write_class_folders(tmp_path / "test", "a", "b", "c")
    with pytest.raises(InputError, match="also has c"):
        image_folder.load(tmp_path, 0, 32, "in_memory", 0, False)


def test_a_class_may_be_called_mask(tmp_path: Path) -> None:
    write_class_folders(tmp_path, "mask", "no_mask", "train")
    splits = image_folder.load(tmp_path, 0, 32, "in_memory", 0, False)
    assert splits.class_names == ("mask", "no_mask", "train")


def test_images_and_masks_are_no_classes(tmp_path: Path) -> None:
    write_class_folders(tmp_path, "images", "masks")
    with pytest.raises(InputError, match="holds images, masks"):
        image_folder.load(tmp_path, 0, 32, "in_memory", 0, False)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_white_are_refused(mode: str) -> None:
    content = save(picture("L").convert(mode), "TIFF")
    with pytest.raises(encoded.UnreadableError, match=f"of the kind {mode}"):
        image_files.decodable(content)


def test_copies_in_one_folder_do_not_empty_a_class(tmp_path: Path) -> None:
    write_class_folders(tmp_path, "a", "b")
    content = (tmp_path / "a" / "0.png").read_bytes()
    for index in range(3):
        (tmp_path / "a" / f"copy_{index}.png").write_bytes(content)
    splits = image_folder.load(tmp_path, 0, 32, "in_memory", 0, False)
    assert "left out 3 copies of other images" in splits.notes
    assert set(splits.train.labels) == {0, 1}


def test_masks_are_no_images(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "a", "images", "masks")
    write_class_folders(tmp_path / "b", "images", "masks")
    splits = image_folder.load(tmp_path, 0, 32, "in_memory", 0, False)
    num = splits.train.num_examples + splits.valid.num_examples
    assert num + splits.test.num_examples == 8


def test_what_is_tested_is_not_trained_on(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train", "a", "b")
    (tmp_path / "test" / "a").mkdir(parents=True)
    write_class_folders(tmp_path / "test", "b")
    for source in ("a", "b"):
        copy = tmp_path / "test" / "a" / f"of_{source}.png"
        content = (tmp_path / "train" / source / "1.png").read_bytes()
        copy.write_bytes(content)
    splits = image_folder.load(tmp_path, 0, 32, "in_memory", 0, False)
    assert splits.test.num_examples == 6
    note = " ".join(splits.notes)
    assert "that are in another split as well" in note
    assert splits.train.num_examples + splits.valid.num_examples < 8


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "WEBP", "BMP"])
def test_a_damaged_file_says_so(kind, tmp_path: Path) -> None:
    content = save(picture("P" if kind == "BMP" else "RGB"), kind)
    path = tmp_path / "a.png"  # The content decides, not the name.
    path.write_bytes(content[: len(content) // 2])
    errors = (encoded.UnreadableError, tf.errors.InvalidArgumentError)
    with pytest.raises(errors):
        images.decode(image_files.read(path), 3)


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "WEBP", "BMP"])
def test_too_many_pixels_are_not_decoded(kind, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(save(picture("P" if kind == "BMP" else "RGB"), kind))
    with pytest.raises(encoded.UnreadableError, match="megapixels"):
        image_files.read(path, 0.0001)


def test_what_was_read_is_said_before_training(tmp_path, capsys) -> None:
    write_class_folders(tmp_path, "cat [b]", "dog")
    image_folder.load(tmp_path, 0, 32, "in_memory", 0, False).announce()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith(": 4 train, 2 valid, 2 test")
    assert printed[1] == "classes (train): cat [b] (2), dog (2)"
    stream = image_folder.load(tmp_path, 0, 32, "streaming", 0, False)
    stream.announce()
    assert capsys.readouterr().out.endswith("(train): cat [b], dog\n")
