"""Networks, losses and scores, without training."""

import dataclasses

import keras
import numpy as np
import pytest
from skimage import metrics as reference

from apps.medical_autoencoder import (
    baselines,
    model,
    noise,
    results,
    scores,
    similarity,
)
from common.keras2 import bridge
from common.keras2.attach import attach
from common.options import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 24, 28, 1), np.float32)
OTHERS = np.clip(IMAGES + RNG.normal(0, 0.1, IMAGES.shape), 0, 1).astype("f4")


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return model.build("autoencoder", (24, 28, 1), 4, 4)


def rebuild(network, images=IMAGES, labels=None) -> scores.Rebuilt:
    outputs = model.with_latent(network)(images)
    labels = np.zeros(len(images), int) if labels is None else labels
    return scores.Rebuilt(
        images, images, *(np.asarray(output) for output in outputs), labels
    )


def fit(name, specificity, train, valid, **more) -> scores.Detector:
    parts = {"train": train, "valid": valid, **more}
    return scores.fit(name, specificity, parts)


def test_ssim_is_that_of_scikit_image() -> None:
    expected = [
        reference.structural_similarity(
            image[..., 0], other[..., 0], win_size=7, data_range=1.0,
            use_sample_covariance=False,
        )
        for image, other in zip(IMAGES, OTHERS, strict=True)
    ]  # fmt: skip
    ssim = similarity.ssim(IMAGES, OTHERS)
    # The mean of scikit-image leaves out a border of half a window, as "valid"
    # windows do.
    np.testing.assert_allclose(ssim, expected, atol=1e-4)


def test_psnr_is_that_of_scikit_image() -> None:
    expected = reference.peak_signal_noise_ratio(
        IMAGES[0], OTHERS[0], data_range=1.0
    )
    psnr = similarity.psnr(IMAGES, OTHERS)
    assert float(psnr[0]) == pytest.approx(expected, abs=1e-3)


def test_equal_images_are_equal_by_every_measure() -> None:
    for name, function in similarity.LOSSES.items():
        np.testing.assert_allclose(
            function(IMAGES, IMAGES), 0, atol=1e-5, err_msg=name
        )
        assert float(np.min(function(IMAGES, OTHERS))) > 1e-3, name


def test_ms_ssim_takes_the_scales_that_fit() -> None:
    # Windows of 7 pixels fit into 24 pixels at two scales, into 7 at one scale.
    small, other = IMAGES[:, :7, :7], OTHERS[:, :7, :7]
    np.testing.assert_allclose(
        similarity.ms_ssim(small, other), similarity.ssim(small, other), 1e-5
    )
    assert not np.allclose(
        similarity.ms_ssim(IMAGES, OTHERS), similarity.ssim(IMAGES, OTHERS)
    )


def test_a_loss_may_be_a_mixture() -> None:
    mixed = similarity.loss("0.8*ssim+2*mae")(IMAGES, OTHERS)
    parts = [
        similarity.LOSSES[name](IMAGES, OTHERS) for name in ("ssim", "mae")
    ]
    np.testing.assert_allclose(mixed, 0.8 * parts[0] + 2 * parts[1], 1e-6)
    for bad in ("", "psnr", "ssim-mse", "0.5 mse", "1e9*mse"):
        with pytest.raises(InputError, match="--loss"):
            similarity.loss(bad)


@pytest.mark.parametrize(
    ("shape", "halvings"),
    [((28, 28, 1), 2), ((64, 64, 3), 3), ((24, 100, 1), 2), ((256, 256, 1), 5)],
)
def test_any_size_that_divides(shape, halvings) -> None:
    assert model.num_halvings(shape) == halvings
    network = model.build("autoencoder", shape, 8, 4)
    assert network.output_shape == (None, *shape)


@pytest.mark.parametrize("shape", [(12, 12, 1), (30, 30, 1), (64, 65, 1)])
def test_sizes_that_do_not_are_refused(shape) -> None:
    with pytest.raises(InputError, match="--image_size="):
        model.build("autoencoder", shape, 8, 4)


def test_a_denoiser_begins_as_the_identity() -> None:
    network = model.build("denoiser", (24, 28, 1), 8, 4)
    np.testing.assert_allclose(network(IMAGES), IMAGES, atol=1e-6)
    assert len(model.with_latent(network).outputs) == 1


def test_latent_and_filters_size_the_network() -> None:
    sizes = [
        model.build("autoencoder", (24, 28, 1), latent, filters).count_params()
        for latent, filters in ((2, 4), (8, 4), (8, 8))
    ]
    assert sizes == sorted(set(sizes))


def test_the_variational_model_shares_and_samples(network) -> None:
    fitted = model.variational(network, beta=0.5, seed=0)
    shared = {id(weight) for weight in fitted.variables}
    assert all(id(weight) in shared for weight in network.trainable_variables)
    np.testing.assert_allclose(fitted(IMAGES), network(IMAGES), atol=1e-6)
    first, second = (fitted(IMAGES, training=True) for _ in range(2))
    assert not np.allclose(first, second)
    mean = model.with_latent(network)(IMAGES)[1]
    # Variances are 1 at first: the divergence is half the squared mean.
    expected = 0.5 * np.mean(0.5 * np.sum(np.square(mean), axis=1))
    assert float(fitted.losses[0]) == pytest.approx(expected, rel=1e-4)


# `combined` is made of `ssim_z` and `latent`, which need no run of their own.
@pytest.mark.parametrize("name", ["mse", "ssim_relative", "combined"])
def test_a_head_is_the_same_behind_the_twin(network, name) -> None:
    rebuilt = rebuild(network)
    detector = fit(name, 0.9, rebuilt, rebuilt)
    maps, values = detector(rebuilt)
    assert maps.shape == IMAGES.shape and values.shape == (6,)
    twin = attach(bridge.to_tf_keras(network), detector.head, [model.LATENT])
    outputs = twin.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(outputs[0], rebuilt.reconstruction, atol=1e-5)
    np.testing.assert_allclose(outputs[1], maps, atol=1e-4)
    np.testing.assert_allclose(outputs[2], values, atol=1e-4)
    assert twin.get_layer(scores.HEAD)


def test_validation_chooses_the_score(network) -> None:
    rebuilt = rebuild(network)
    labels = np.array([0, 0, 0, 1, 1, 1])
    noisy = rebuilt.reconstruction.copy()
    noisy[labels == 0] = IMAGES[labels == 0]
    # Only the reconstruction shows the class; the bottleneck does not.
    latent = np.tile(rebuilt.latent[:3], (2, 1))
    distinct = dataclasses.replace(
        rebuilt, reconstruction=noisy, latent=latent, labels=labels
    )
    detector = fit("auto", 0.9, rebuilt, distinct)
    assert detector.candidates["ssim"] == 1.0 > detector.candidates["latent"]
    assert detector.name != "latent"
    # If valid does not distinguish the scores, varied images decide.
    alike = dataclasses.replace(distinct, reconstruction=IMAGES)
    by_varied = fit("auto", 0.9, rebuilt, alike, varied=distinct)
    assert by_varied.name == detector.name
    assert by_varied.candidates["ssim"] == pytest.approx(0.75, abs=0.01)
    normal_only = fit("auto", 0.9, rebuilt, rebuild(network))
    assert normal_only.name == scores.FALLBACK and normal_only.candidates == {}


def test_a_relative_score_does_not_count_detail() -> None:
    smooth = np.asarray(scores.detail(0.5 + 0.1 * (IMAGES - 0.5)))
    assert smooth.shape == (6, 1, 1, 1)
    assert np.all(smooth < scores.detail(IMAGES))
    blank = np.zeros_like(IMAGES)
    np.testing.assert_allclose(scores.detail(blank), scores.LEAST_DETAIL)
    split = scores.Rebuilt(IMAGES, IMAGES, OTHERS, None, np.zeros(6))
    plain, relative = (
        scores.run(scores.build_head(name, split, None), split)[1]
        for name in ("ssim_scales", "ssim_relative")
    )
    detail = np.asarray(scores.detail(IMAGES)).ravel()
    np.testing.assert_allclose(relative, plain / detail, rtol=1e-5)


def test_the_threshold_is_a_quantile_of_normal_scores(network) -> None:
    rebuilt = rebuild(network, labels=np.array([0, 0, 0, 0, 0, 1]))
    detector = fit("ssim", 0.5, rebuilt, rebuilt)
    _, values = detector(rebuilt)
    # The threshold is the unit.
    assert np.median(values[:5]) == pytest.approx(scores.THRESHOLD, rel=1e-4)
    _, values = fit("ssim", 1.0, rebuilt, rebuilt)(rebuilt)
    assert np.max(values[:5]) == pytest.approx(scores.THRESHOLD, rel=1e-4)


def test_mahalanobis_of_normal_images_is_about_one() -> None:
    latent = RNG.normal(size=(500, 3)) @ RNG.normal(size=(3, 3)) + 5
    mean, whitening = scores.fit_latent(latent)
    distance = scores.latent_distance(
        latent.astype(np.float32),
        (mean, whitening),
    )
    assert np.mean(np.square(distance)) == pytest.approx(1, abs=0.05)


def test_auroc_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    labels = RNG.integers(0, 2, 200)
    values = np.round(RNG.normal(labels, 1), 1)  # With ties.
    expected = roc_auc_score(labels, values)
    assert results.auroc(values, labels) == pytest.approx(expected)
    assert np.isnan(results.auroc(values, np.zeros(200)))
    assert results.detection(values, np.zeros(200)) == {}
    rates = results.at_threshold(values, np.zeros(200))
    assert set(rates) == {"specificity"}


def test_baselines_find_what_is_far_off() -> None:
    train = RNG.normal(0.5, 0.02, (60, 48)).astype(np.float32)
    far = RNG.normal(0.9, 0.3, (10, 48)).astype(np.float32)
    test = np.concatenate([train[:10], far])
    labels = np.repeat([0, 1], 10)
    detectors = dict(baselines.detectors(train, 0))
    assert len(detectors) == 6
    for name, score in list(detectors.items())[1:]:
        assert results.auroc(score(test), labels) > 0.95, name


def test_filters_remove_noise() -> None:
    smooth = np.ones((1, 24, 24, 1), np.float32) * 0.5
    noisy = np.asarray(noise.corrupt(smooth, "gaussian", 0.1, [0, 0]))
    rebuilt = scores.Rebuilt(noisy, smooth, noisy, None, np.zeros(1))
    first, *rows = baselines.denoising(rebuilt, rebuilt, 0.1)
    assert first["name"] == "noisy input" and len(rows) == 2
    for row in rows:
        gain = row["metrics"]["psnr"] - first["metrics"]["psnr"]
        assert gain > 6, row["name"]
