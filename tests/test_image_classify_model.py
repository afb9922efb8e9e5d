"""The networks and the augmentation of image_classify."""

import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.image_classify import augment, results
from apps.image_classify import model as networks
from apps.image_classify import train as app
from common.data.splits import MemorySplit, Splits
from common.options import InputError


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_networks_give_probabilities(name: str) -> None:
    size = networks.usual_size(name)
    model = networks.build(name, (size, size, 3), 7, dropout=0.2)
    probabilities = model(np.zeros((2, size, size, 3), np.float32))
    assert probabilities.shape == (2, 7)
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "classes", "weights"),
    [
        ("lenet5", (28, 28, 1), 10, 61_706),
        ("resnet8", (32, 32, 3), 10, 78_666),
    ],
)
def test_networks_are_the_published_ones(name, shape, classes, weights) -> None:
    model = networks.build(name, shape, classes)
    trainable = sum(np.prod(w.shape) for w in model.trainable_weights)
    assert abs(trainable - weights) < 1000
    if name == "lenet5":
        (flat,) = (x for x in model.layers if x.name.startswith("flat"))
        assert flat.input.shape == (None, 5, 5, 16)


def test_a_backbone_takes_grey_images() -> None:
    model = networks.build("mobilenet_v3_small", (32, 32, 1), 5)
    assert model(np.zeros((1, 32, 32, 1), np.float32)).shape == (1, 5)


@pytest.mark.parametrize("name", [*networks.NETWORKS, *networks.WIDTHS])
def test_half_the_width_is_about_a_quarter_of_the_weights(name: str) -> None:
    whole, half = (
        networks.build(name, (32, 32, 3), 10, width=width).count_params()
        for width in (1.0, 0.5)
    )
    assert 0.2 < half / whole < 0.45


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("efficientnet_v2_b0", "none", "--width=0.5 needs one of lenet5"),
        ("mobilenet_v3_small", "imagenet", "must be one of 0.75, 1.0 for"),
    ],
)
def test_widths_that_do_not_exist_are_refused(name, weights, message) -> None:
    with pytest.raises(InputError, match=message):
        networks.build(name, (32, 32, 3), 2, weights=weights, width=0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lenet5", (8, 8, 1), 2), "--image_size=12"),
        (("mobilenet_v2", (28, 28, 3), 2), "at least 32 x 32"),
    ],
)
def test_images_too_small_are_refused(arguments, message) -> None:
    with pytest.raises(InputError, match=message):
        networks.build(*arguments)


def test_weights_come_from_a_file(tmp_path) -> None:
    path = tmp_path / "w.weights.h5"
    saved = networks.build("lenet5", (28, 28, 1), 4)
    saved.save_weights(path)
    loaded = networks.build("lenet5", (28, 28, 1), 4, weights=str(path))
    for a, b in zip(saved.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    with pytest.raises(InputError, match="does not fit"):
        networks.build("lenet5", (28, 28, 1), 5, weights=str(path))
    with pytest.raises(InputError, match=r"\.weights\.h5 file"):
        networks.build("lenet5", (28, 28, 1), 4, weights="imagenet21k")
    with pytest.raises(InputError, match="needs one of mobilenet_v2"):
        networks.build("lenet5", (28, 28, 1), 4, weights="imagenet")


class TestAugmentation:
    images = np.random.default_rng(0).random((6, 9, 9, 1), np.float32)
    seed = tf.constant([1, 2], tf.int64)

    def warped(self, **changes) -> np.ndarray:
        return augment.warp(
            self.images, augment.Augmentation(**changes), self.seed
        ).numpy()

    def test_no_augmentation_is_the_identity(self) -> None:
        np.testing.assert_allclose(self.warped(), self.images, atol=1e-6)

    def test_a_flip_mirrors_some_images_exactly(self) -> None:
        warped = self.warped(flip=True)
        mirrored = [
            np.allclose(a, b[:, ::-1], atol=1e-5)
            for a, b in zip(warped, self.images, strict=True)
        ]
        same = [
            np.allclose(a, b, atol=1e-5)
            for a, b in zip(warped, self.images, strict=True)
        ]
        assert all(np.logical_xor(mirrored, same)) and any(mirrored)

    @pytest.mark.parametrize(
        "changes", [{"shift": 0.2}, {"rotation": 20.0}, {"crop": 0.3}]
    )
    def test_each_option_moves_pixels_and_repeats(self, changes: dict) -> None:
        warped = self.warped(**changes)
        assert not np.allclose(warped, self.images, atol=0.05)
        assert warped.min() >= 0 and warped.max() <= 1
        np.testing.assert_array_equal(warped, self.warped(**changes))

    def test_mixup_mixes_images_and_labels_alike(self) -> None:
        labels = np.eye(6, dtype=np.float32)
        images, mixed = augment.mix(self.images, labels, 0.4, self.seed)
        weight = mixed.numpy()[0, 0]
        assert 0.5 <= weight < 1
        np.testing.assert_allclose(np.sum(mixed, axis=1), 1, rtol=1e-6)
        expected = weight * self.images + (1 - weight) * self.images[::-1]
        np.testing.assert_allclose(images, expected, rtol=1e-5)


@pytest.mark.parametrize("name", networks.BACKBONES)
def test_backbones_get_the_pixels_that_their_weights_expect(name) -> None:
    model = networks.build(name, (32, 32, 3), 2)
    scaling = next(
        layer
        for layer in model.layers
        if type(layer).__name__ in ("Rescaling", "Normalization")
    )
    white = np.ones((1, 1, 1, 3), np.float32)
    expected = 1.0
    if name == "efficientnet_v2_b0":
        expected = (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(
        np.ravel(scaling(white)), np.broadcast_to(expected, 3), rtol=1e-5
    )


def test_weights_that_cannot_be_downloaded_are_one_line(monkeypatch) -> None:
    def offline(**arguments) -> None:
        raise Exception("URL fetch failure on https://example.com: None")

    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    with pytest.raises(InputError, match="could not be downloaded"):
        networks.build("mobilenet_v2", (32, 32, 3), 2, weights="imagenet")


def test_weights_but_no_biases_decay() -> None:
    split = MemorySplit(np.zeros((4, 28, 28, 1)), np.zeros(4, np.int64))
    splits = Splits("none", ("a", "b"), split, split, split)
    config = app.Config(dataset="digits", model="lenet5")
    decaying, plain = (
        app.compile_model(
            app.build_model(config, splits),
            config.replace(weight_decay=decay),
            splits,
        ).optimizer
        for decay in (0.5, 0.0)
    )
    kernel, bias = app.build_model(config, splits).trainable_variables[:2]
    assert decaying.weight_decay == 0.5 and plain.weight_decay is None
    assert decaying._use_weight_decay(kernel)
    assert not decaying._use_weight_decay(bias)


def test_evaluation_holds_labels_not_one_hot_rows() -> None:
    split = MemorySplit(np.full((3, 8, 8, 1), 255, np.uint8), np.arange(3))
    ((images, labels),) = augment.batches(split)
    assert images.max() == 1.0 and labels.tolist() == [0, 1, 2]


def test_calibration_images_are_held_once() -> None:
    split = MemorySplit(np.full((50, 96, 96, 3), 51, np.uint8), np.zeros(50))
    tracemalloc.start()
    images = results.calibration(split, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert images.shape == (52, 96, 96, 3) and images.dtype == np.float32
    assert images[0, 0, 0, 0] == np.float32(0.2)
    assert images[-2].max() == 0 and images[-1].min() == 1
    # The bytes of the pixels are held twice, the floats once.
    assert peak < 1.7 * images.nbytes


def test_weights_that_are_no_numbers_are_refused(tmp_path) -> None:
    path = tmp_path / "diverged.weights.h5"
    model = networks.build("lenet5", (12, 12, 1), 3)
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    model.save_weights(path)
    with pytest.raises(InputError, match="must hold finite numbers"):
        networks.build("lenet5", (12, 12, 1), 3, weights=str(path))
