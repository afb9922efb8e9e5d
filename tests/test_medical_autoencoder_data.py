"""The images to train on and to judge by: noise, shifts, versions."""

import dataclasses

import numpy as np
import pytest

from apps.medical_autoencoder import data, noise
from apps.medical_autoencoder import train as app
from common.data import splits
from common.options import InputError

IMAGES = np.random.default_rng(0).random((6, 24, 28, 1), np.float32)


@pytest.mark.parametrize("kind", ["gaussian", "poisson", "speckle"])
def test_noise_has_its_level_and_its_seed(kind) -> None:
    grey = np.full((4, 64, 64, 1), 0.5, np.float32)
    noisy, same, other = (
        np.asarray(noise.corrupt(grey, kind, 0.1, [seed, 0]))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(noisy, same)
    assert not np.array_equal(noisy, other)
    spread = {"gaussian": 0.1, "poisson": 0.1 * 0.5**0.5, "speckle": 0.05}
    assert noisy.std() == pytest.approx(spread[kind], rel=0.05)
    assert noisy.mean() == pytest.approx(0.5, abs=0.01)


def test_only_a_denoiser_is_judged_on_noise() -> None:
    noisy = {"noise": "gaussian", "noise_level": 0.2}
    labels = np.zeros(len(IMAGES))
    for config, changes in (
        (app.Config(**noisy), False),
        (app.Config(model="denoiser", **noisy), True),
    ):
        inputs, targets = data.for_evaluation(config)(IMAGES, labels)
        same, _ = data.for_evaluation(config)(IMAGES, labels)
        np.testing.assert_array_equal(inputs, same)
        np.testing.assert_array_equal(targets, IMAGES)
        assert np.array_equal(inputs, IMAGES) != changes
        inputs, targets = data.for_training(config)(IMAGES, labels, [0, 0])
        assert not np.array_equal(inputs, targets)
    with pytest.raises(InputError, match="must have a --noise"):
        app.Config(model="denoiser")
    with pytest.raises(InputError, match="has no --score"):
        app.Config(model="denoiser", score="ssim", **noisy)


def test_flip_mirrors_half() -> None:
    images = np.repeat(IMAGES, 50, axis=0)
    transform = data.for_training(app.Config(flip=True))
    inputs = np.asarray(transform(images, np.zeros(len(images)), [0, 1])[0])
    same = np.all(inputs == images, axis=(1, 2, 3))
    mirrored = np.all(inputs == images[:, :, ::-1], axis=(1, 2, 3))
    assert np.all(same | mirrored) and 0.4 < same.mean() < 0.6


def test_shift_moves_whole_pixels() -> None:
    images = np.repeat(IMAGES[:1], 200, axis=0)
    transform = data.for_training(app.Config(shift=0.04))
    inputs = np.asarray(transform(images, np.zeros(200), [0, 1])[0])
    mirrored = np.pad(IMAGES[0], ((1, 1), (1, 1), (0, 0)), mode="symmetric")
    possible = {
        mirrored[y : y + 24, x : x + 28].tobytes()
        for y in range(3) for x in range(3)
    }  # fmt: skip
    assert {image.tobytes() for image in inputs} == possible


def test_varied_images_are_framed_and_exposed_otherwise() -> None:
    images = np.full((64, 32, 32, 1), 0.2, np.float32)
    images[:, 12:20, 12:20] = 0.8
    varied = data.vary(images, [0, 1])
    np.testing.assert_array_equal(varied, data.vary(images, [0, 1]))
    assert varied.min() >= 0 and varied.max() <= 1
    # The exposure changes the background, the framing the bright square.
    assert varied[:, 0, 0, 0].std() > 0.02
    middle = (varied[:, :1, :1] + varied[:, 16:17, 16:17]) / 2
    bright = varied > middle
    sides = bright.sum((1, 2, 3)) ** 0.5
    assert 7 <= sides.min() < 8 < sides.max() < 9
    row = bright.sum((2, 3)) @ np.arange(32) / bright.sum((1, 2, 3))
    assert 1 < np.ptp(row) < 2 * 0.06 * 32 + 1


def test_only_what_can_be_ranked_is_varied() -> None:
    part = splits.MemorySplit(IMAGES, np.array([0, 1] * 3))
    with_both = splits.Splits("x", ("a", "b"), part, part, part)
    judges = data.judged(with_both, app.Config())
    assert list(judges) == ["train", "valid", "test", "varied"]
    varied = judges["varied"]
    assert varied.num_examples == 6 * (1 + data.VERSIONS)
    np.testing.assert_array_equal(varied.features[:6], IMAGES)
    assert not np.array_equal(varied.features[6:12], varied.features[12:18])
    np.testing.assert_array_equal(varied.labels[-6:], part.labels)
    normal = dataclasses.replace(with_both, valid=data.normal(part))
    assert "varied" not in data.judged(normal, app.Config())
    denoiser = app.Config(model="denoiser", noise="gaussian")
    assert "varied" not in data.judged(with_both, denoiser)
