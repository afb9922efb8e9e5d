"""Image files of every kind that people have, each with the right pixels."""

import base64
import io
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps, PngImagePlugin

from apps.image_classify import predict
from apps.image_classify import train as image_classify
from apps.medical_autoencoder import pictures
from common.data import encoded, image_files, images

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


def heic(packed: str) -> bytes:
    """Unpacks a file that libheif wrote; Pillow has no encoder of its own."""
    return zlib.decompress(base64.b64decode(packed))


# `picture()`.
HEIC = heic(
    "eNpjYGCQSSupLMhIzUxmAILczDRDEDs3MzGNgYGxJje1JJEBAhQzUnKKoGyGgszkEgY0oJSZkw"
    "82xMWBgREIgYBxAYQGsgyAhHJmZl4ahAvEokBOKhOUl1GWbAhi8hVkluTClfzJLCgqANJ3MguS"
    "84F0KVCZMyMzSGgCWJHcB4Y/f3/8YGDgZ04A6pBwYORh/P8fpIAZpIIZhOR2MTkkAiU1nRgZ0W"
    "QWKDSyTnu1btazB4oLDjQwMPA0gIRbkoCq2VwYDxYf7ATaIZycn1OUl5xTARTlZWADKmEQySwu"
    "SIV62wGKNZJzEkEO04C6XQJE/////wWQZgLSN0A0EAsUZFZkgjQyc3BwgNRlFuTCwhgYbKyNTM"
    "ysLUCmRW5KIjCMGXU0GNezfOLYHMLfUJhRstlF7rGFudFS49dHb9tf9uT+cUNd593xECvZlI25"
    "lutTblWXZl9R57OvUk6edcDTzdrjxJXC5/uZHgdsn2B1JuQ219wH79myDrequxc80u7umrnuhT"
    "irQ/7Xff47N+U/2rtX61/fpjUVHwIWTTLR3/UsW2zOzfiTJZ+v/bMV7lgnKXNxxabJrlwJXJOu"
    "mb+/Gbp0ZafapByTVQEX/0QyPJ+28nNln8JeoeN2YX/MLa5omTWK/2hMCVFybTD8a8D2Pexwy+"
    "mnL4I/xe5/aKCc27B27t79sudE94tHcfFtr3l+zXBZ6IzSedrPfbPfREgdFljal9O8q3Kj5pqV"
    "7L/lrcR5JdTnvTiotfrwxIbWhY13blce/JL9kPe/WUlx7ctDOzjYsu9fSDth/GqKktxfewCVrO"
    "Sa"
)

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
    "heic": (HEIC, picture()),
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
    needs_pillow = ("tiff", "avif", "heic", "bmp_", "webp_animated")
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
    data = image_classify.load_data(
        image_classify.Config(
            dataset=str(tmp_path), image_size=24, pipeline=pipeline
        )
    )
    parts = (data.train, data.valid, data.test)
    num = sum(part.num_examples for part in parts)
    (note,) = data.notes
    assert note.startswith(f"{len(KINDS) + 2} files: {num} used; left out ")
    copies = len(KINDS) - num  # Some kinds may be copies of others.
    assert not copies or f"{copies} copies of other images" in note
    assert "1 without a suffix" in note and "1 .csv" in note
    # What trains is what the files show: turned, on white, the first frame.
    shown = [
        images.fit(images.decode(image_files.decodable(content), 3), (24, 24))
        for content, _ in KINDS.values()
    ]
    for part in parts:
        for image in part.sample(part.num_examples, 0).features:
            assert any(np.array_equal(image, other) for other in shown)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_white_are_refused(mode: str) -> None:
    content = save(picture("L").convert(mode), "TIFF")
    with pytest.raises(encoded.UnreadableError, match=f"of the kind {mode}"):
        image_files.decodable(content)


def only_for_pillow(kind: str) -> bytes:
    if kind == "HEIC":
        return HEIC
    return save(picture("P" if kind == "BMP" else "RGB"), kind)


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIC", "WEBP", "BMP"])
def test_a_damaged_file_says_so(kind, tmp_path: Path) -> None:
    content = only_for_pillow(kind)
    path = tmp_path / "a.png"  # The content decides, not the name.
    path.write_bytes(content[: len(content) // 2])
    errors = (encoded.UnreadableError, tf.errors.InvalidArgumentError)
    with pytest.raises(errors):
        images.decode(image_files.read(path), 3)


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIC", "WEBP", "BMP"])
def test_too_many_pixels_are_not_decoded(kind, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(only_for_pillow(kind))
    with pytest.raises(encoded.UnreadableError, match="megapixels"):
        image_files.read(path, 0.0001)


BACKGROUNDS = {"white": 255, "grey": 128, "black": 0}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
@pytest.mark.parametrize("name", BACKGROUNDS)
def test_a_background_shows_where_a_file_is_transparent(name, kind) -> None:
    if kind == "GIF":
        clear = Image.new("P", (WIDTH, HEIGHT), 0)
        content, image = save(clear, kind, transparency=0), Image.new(
            "RGBA", (WIDTH, HEIGHT), (0, 0, 0, 0)
        )  # fmt: skip
    else:
        image = transparent("RGBA")
        options = {"lossless": True} if kind == "WEBP" else {}
        content = save(image, kind, **options)
    shown = images.decode(image_files.decodable(content), 3, background=name)
    level = BACKGROUNDS[name]
    under = Image.new("RGBA", image.size, (level, level, level, 255))
    expected = np.asarray(Image.alpha_composite(under, image).convert("RGB"))
    assert difference(shown.numpy().astype(float), expected.astype(float)) < 1


def test_a_background_is_one_in_training_server_and_prediction(
    tmp_path: Path,
) -> None:
    for index in range(12):
        path = tmp_path / ("a", "b")[index % 2] / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        colour = (10 * index, 0, 0, 0)
        Image.new("RGBA", (8, 8), colour).save(path)
    config = image_classify.Config(dataset=str(tmp_path), background="grey")
    data = image_classify.load_data(config)
    assert (data.train.features == 128).all()
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.GlobalAveragePooling2D()(inputs)
    signature = image_classify.signatures(
        keras.Model(inputs, outputs),
        data,
        config,
    )["serving_default"]
    answer = signature.function(tf.constant([path.read_bytes()]))
    np.testing.assert_allclose(answer["probabilities"], 128 / 255, rtol=1e-6)

    class Served:
        has_files = False

        def inputs(self, name: str) -> dict:
            return {"image": np.empty((1, 8, 8, 3))}

    classifier = predict.Classifier(Served(), background="grey")
    assert (classifier.decode(path.read_bytes()) == 128).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_image_is_as_the_decoder_gives_it(kind) -> None:
    content = image_files.decodable(KINDS[kind][0])
    is_plain = bool(images.is_plain(tf.constant(content)))
    if kind.startswith("webp"):  # The decoder gives some four channels.
        assert not is_plain or content.startswith(b"\x89PNG")
        return
    decoded = tf.io.decode_image(content, 3, expand_animations=False)
    is_equal = np.array_equal(decoded, images.decode(content, 3))
    # A palette counts as transparent, as it may be.
    assert is_plain == is_equal or (is_equal and "palette" in kind)


def operations(root: Path) -> set[str]:
    """Returns the kinds of operations that read an image in training."""
    data = image_classify.load_data(
        image_classify.Config(
            dataset=str(root), image_size=24, pipeline="streaming"
        )
    )
    names: set[str] = set()
    for split in (data.train, data.valid, data.test):
        specs = split.records(None).element_spec
        graph = tf.function(split.parse).get_concrete_function(*specs).graph
        definition = graph.as_graph_def()
        names |= {node.op for node in definition.node}
        for function in definition.library.function:
            names |= {node.op for node in function.node_def}
    return names


@pytest.mark.parametrize("kind", ["", "jpeg_orientation_6", "png_alpha"])
def test_training_searches_only_what_needs_it(kind, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(8):
        path = tmp_path / ("a", "b")[index % 2] / f"{index}.jpg"
        path.parent.mkdir(exist_ok=True)
        noise = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        path.write_bytes(save(Image.fromarray(noise), "JPEG"))
    if kind:
        (tmp_path / "a" / "other.png").write_bytes(KINDS[kind][0])
    assert ("StaticRegexFullMatch" in operations(tmp_path)) == bool(kind)
