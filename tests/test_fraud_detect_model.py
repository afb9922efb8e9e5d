"""Encoding, networks and explanations of fraud_detect, untrained."""

import keras
import numpy as np
import pytest

from apps.fraud_detect import encoding, explain, features, networks
from apps.fraud_detect import model as detectors
from apps.fraud_detect.settings import Sizes
from common import variants
from common.keras2 import bridge
from common.mobile import conversion, litert

SIZES = Sizes(8, [16, 8], [12], 3, 2, 0.1, "both")


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.gamma(1.0, 50.0, (400, len(features.NAMES)))
    values[:, 1:3] = rng.integers(0, 2, (400, 2))
    values[:, 10::2] = np.where(rng.random((400, 3)) < 0.9, 0, rng.random(
        (400, 3)))  # fmt: skip
    return values.astype(np.float32)


def build(kind: str, raw: np.ndarray) -> detectors.Detector:
    keras.utils.set_random_seed(0)
    shaped = raw
    if kind == "sequence":
        shaped = np.stack([raw, raw[::-1], raw], axis=1)
    fraud = (np.arange(len(raw)) % 10 == 0).astype(int)
    detector = detectors.build(kind, features.NAMES, shaped, fraud, SIZES)
    return detector, shaped


def test_bins_are_a_trees_thresholds() -> None:
    values = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8])[:, None]
    inputs = keras.Input((1,))
    codes = encoding.piecewise_linear(inputs, values, 4)
    encoded = keras.Model(inputs, codes)(np.array([[-1], [3.0], [99]], "f4"))
    expected = [[0, 0, 0, 0], [1, 0.5, 0, 0], [1, 1, 1, 1]]
    np.testing.assert_allclose(encoded, expected, atol=1e-6)


def test_bins_look_beyond_the_commonest_value() -> None:
    values = np.concatenate([np.zeros(990), np.linspace(0.1, 1, 10)])
    edges = encoding.bin_edges(values, 4)
    assert len(edges) == 5 and np.all(np.diff(edges) > 0)
    assert edges[0] == 0 and edges[1] < 0.5 and edges[-1] == 1
    flat = encoding.bin_edges(np.zeros(9), 4)
    assert np.all(np.diff(flat) > 0)


def test_ratios_are_those_of_the_named_features(raw) -> None:
    quantities = encoding.Quantities(features.NAMES, raw)
    derived = np.asarray(quantities.of(raw))
    column = derived[:, quantities.names.index("amount/customer_mean_30d")]
    mean = raw[:, features.NAMES.index("customer_mean_30d")]
    np.testing.assert_allclose(
        column, np.log((raw[:, 0] + 1) / (mean + 1)), rtol=1e-5
    )
    inputs = keras.Input(raw.shape[1:])
    model = keras.Model(inputs, quantities.of(inputs))
    np.testing.assert_allclose(model(raw), derived, rtol=1e-4, atol=1e-5)
    # A table of ready-made features has none.
    plain = encoding.Quantities(("V1", "Amount"), raw[:, :2])
    assert plain.names == ("V1", "Amount")


@pytest.mark.parametrize("kind", detectors.MODELS)
def test_detectors_give_scores_that_survive_conversion(kind, raw) -> None:
    detector, shaped = build(kind, raw)
    model = detector.full_model()
    expected = model.predict(shaped[:50], verbose=0)
    assert expected.shape == (50, 1) and np.all(expected >= 0)
    twin = bridge.to_tf_keras(detector.network)
    full_twin = bridge.around(model, detector.network, twin)
    content = conversion.convert(
        full_twin,
        variants.parse(["float32"])[0],
        {"features": shaped},
        ["score"],
    )
    scores = litert.Runner(content)(features=shaped[:50])["score"]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ("classifier", "hybrid", "sequence"))
def test_parts_add_up_to_the_difference_of_the_logits(kind, raw) -> None:
    detector, shaped = build(kind, raw)
    explainer = explain.Explainer(detector)
    parts = explainer.parts(shaped[:20]).numpy()
    assert parts.shape == (20, len(detector.quantities))
    score = detector.full_model()(shaped[:20]).numpy()[:, 0]
    network = detector.network
    typical = detector.typical if detector.typical[1:] else detector.typical[0]
    base = float(np.ravel(network(typical))[0])
    logit = np.log(score / (1 - score)) - np.log(base / (1 - base))
    np.testing.assert_allclose(parts.sum(axis=1), logit, atol=0.05)


def test_an_autoencoders_parts_are_its_scores(raw) -> None:
    detector, _ = build("autoencoder", raw)
    odd = raw[:5].copy()
    odd[:, 0] = 1e4
    explainer = explain.Explainer(detector)
    parts = explainer.parts(odd)
    np.testing.assert_allclose(
        np.mean(parts, axis=1), detector.full_model()(odd)[:, 0], rtol=1e-4
    )
    assert all(b"amount" in row[0] for row in explainer.reasons(parts).numpy())


def test_values_below_the_expected_are_no_surprise_if_asked() -> None:
    target, output = np.array([[1.0, 5.0]], "f4"), np.array([[3.0, 3.0]], "f4")
    above = networks.surprise(target, output, "above")
    both = networks.surprise(target, output, "both")
    assert np.array(above).tolist() == [[0.0, 2.0]]
    assert np.array(both).tolist() == [[2.0, 2.0]]


def test_errors_count_in_their_own_deviations(raw) -> None:
    untrained, _ = build("autoencoder", raw)
    detector = detectors.settle(untrained, raw)
    (encoded,) = untrained.encoded(raw)
    errors = encoded - untrained.network(encoded)
    spread = np.std(errors, axis=0) + detectors.LEAST_SPREAD
    np.testing.assert_allclose(detector.spread, spread, rtol=1e-4)
    expected = np.minimum(np.abs(errors) / spread, encoding.LARGEST)
    np.testing.assert_allclose(
        detector.full_model()(raw)[:, 0], expected.mean(axis=1), rtol=1e-3
    )
    parts = explain.Explainer(detector).parts(raw)
    np.testing.assert_allclose(parts, expected, rtol=1e-3, atol=1e-5)
    assert detectors.settle(build("classifier", raw)[0], raw).spread is None


def test_a_compressed_twin_counts_in_deviations_of_its_own(raw) -> None:
    detector, _ = build("autoencoder", raw)
    (encoded,) = detector.encoded(raw)
    pruned_to_nothing = detectors.settle(
        detector, raw, lambda rows, training: 0 * rows
    )
    np.testing.assert_allclose(
        pruned_to_nothing.spread,
        np.std(encoded, axis=0) + detectors.LEAST_SPREAD,
        rtol=1e-5,
    )


def test_an_autoencoder_in_training_sees_a_part_of_its_inputs(raw) -> None:
    detector, _ = build("autoencoder", raw)
    encode = detectors.transform(detector, "autoencoder", corruption=0.5)
    fraud = np.zeros(len(raw))
    seen, target = encode(raw, fraud, seed=(1, 2))
    hidden = np.mean((np.array(seen) == 0) & (np.array(target) != 0))
    assert 0.4 < hidden < 0.6
    inputs, same = encode(raw, fraud)
    np.testing.assert_array_equal(inputs, same)
    np.testing.assert_array_equal(inputs, target)


def test_what_lowers_a_score_is_no_reason(raw) -> None:
    detector, _ = build("classifier", raw)
    explainer = explain.Explainer(detector)
    parts = np.full((1, len(detector.quantities)), -1.0, np.float32)
    parts[0, 4] = 2.0
    (row,) = explainer.reasons(parts).numpy()
    assert row.tolist() == [detector.quantities[4].encode(), b"", b""]


def test_losses_treat_rare_frauds_as_asked() -> None:
    target, output = np.array([[1.0], [0.0]]), np.array([[0.3], [0.3]])
    fraud = np.array([1] + [0] * 9)
    plain, weighted, focal = (
        np.ravel(detectors.loss(name, fraud)(target[:1], output[:1]))[0]
        for name in ("none", "weights", "focal")
    )
    assert weighted == pytest.approx(0.9 * plain, rel=1e-4)
    assert focal < plain
    honest = np.ravel(detectors.loss("weights", fraud)(target[1:], output[1:]))
    assert honest[0] == pytest.approx(-0.1 * np.log(0.7), rel=1e-4)


def test_a_hybrid_keeps_the_autoencoder_it_is_built_on(raw) -> None:
    inner, _ = build("autoencoder", raw)
    fraud = (np.arange(len(raw)) % 10 == 0).astype(int)
    detector = detectors.build(
        "hybrid", features.NAMES, raw, fraud, SIZES, before=inner
    )
    network = detector.network
    assert (
        network.get_layer("code_0").kernel
        is inner.network.get_layer("code_0").kernel
    )
    trained = {variable.path for variable in network.trainable_variables}
    assert not any(path.startswith("code_") for path in trained)


def test_a_model_with_other_weights_is_no_shell(raw) -> None:
    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.layers.Dense(2)], name="inner")
    inner.build((None, 4))
    model = keras.Model(inputs, keras.layers.Dense(1)(inner(inputs)))
    with pytest.raises(ValueError, match="weights in inner only"):
        bridge.around(model, inner, bridge.to_tf_keras(inner))
