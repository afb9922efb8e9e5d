"""Integrated gradients, their overlays, and the page that shows them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from apps.image_classify import model as networks
from apps.image_classify.config import Config
from apps.image_classify.explanations import Explainer
from common import program
from common.explanation import gradients, overlays, page
from common.options import InputError
from common.shared_options import Options


def network(name: str, seed: int) -> keras.Model:
    """Returns a network whose kinks and logits are those of a trained one."""
    keras.utils.set_random_seed(seed)
    model = networks.build(name, (12, 12, 1), 5)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense):
            layer.set_weights([2 * weight for weight in layer.get_weights()])
    return model


@pytest.mark.parametrize("name", ["lenet5", "small_cnn"])
def test_attributions_add_up_to_the_change_of_the_score(name) -> None:
    model = network(name, 0)
    explainer = Explainer(model, "white")
    logits = keras.Model(model.input, gradients.logits(model))
    rng = np.random.default_rng(0)
    for label_id in range(2):
        image = rng.random((12, 12, 1)).astype(np.float32)
        values = logits(np.stack([image, np.ones_like(image)])).numpy()
        others = np.delete(values, label_id, axis=1).mean(axis=1)
        score, baseline = values[:, label_id] - others
        result = explainer.integrated_gradients(image, label_id)
        assert abs(score - baseline) > 0.05
        assert result.score == pytest.approx(score, abs=1e-4)
        assert result.values.shape == image.shape
        total = result.values.sum()
        assert total == pytest.approx(score - baseline, abs=1.1e-3)
        assert result.error == pytest.approx(
            abs(total - (score - baseline)), abs=1e-4
        )


def test_parts_of_a_linear_score_are_exact() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=6).astype(np.float32)
    explain = gradients.IntegratedGradients(
        lambda x, bias: tf.linalg.matvec(x, weights) + bias
    )
    value, baseline = rng.normal(size=(2, 6)).astype(np.float32)
    result = explain(value, baseline, tf.constant(3.0))
    np.testing.assert_allclose(
        result.values, weights * (value - baseline), atol=1e-5
    )
    assert result.score == pytest.approx(weights @ value + 3, abs=1e-5)


def test_a_narrow_kink_is_met_by_halving_its_interval() -> None:
    explain = gradients.IntegratedGradients(
        lambda x, _: tf.nn.relu(1e4 * (x[:, 0] - 0.7001)) + x[:, 1]
    )
    result = explain(np.ones(2, np.float32), np.zeros(2, np.float32), 0)
    assert result.error < 1e-3
    np.testing.assert_allclose(result.values, [2999, 1], rtol=1e-5)


def test_other_weights_give_another_map() -> None:
    """Sanity checks for saliency maps (Adebayo et al., 2018)."""
    image = np.random.default_rng(0).random((12, 12, 1)).astype(np.float32)
    first, second = (Explainer(network("lenet5", seed)) for seed in (0, 1))
    again = Explainer(network("lenet5", 0))
    maps = [
        explainer.integrated_gradients(image, 0).values.ravel()
        for explainer in (first, second, again)
    ]
    assert abs(np.corrcoef(maps[0], maps[1])[0, 1]) < 0.5
    np.testing.assert_allclose(maps[0], maps[2], atol=1e-5)
    coarse = [x.grad_cam(image, 0) for x in (first, second, again)]
    assert coarse[0].shape == (2, 2) and coarse[0].min() >= 0
    assert not np.allclose(coarse[0], coarse[1], atol=1e-3)
    np.testing.assert_allclose(coarse[0], coarse[2], atol=1e-5)


def test_two_classes_are_explained_by_the_log_odds() -> None:
    logits = tf.constant([[1.0, 4.0], [0.0, -2.0]])
    margin = gradients.margin(logits, tf.constant(1))
    np.testing.assert_allclose(margin, [3, -2])


def test_an_overlay_has_the_colour_of_the_sign() -> None:
    image = np.zeros((4, 4, 3), np.float32)
    values = np.zeros((4, 4))
    values[0, 0], values[3, 3] = 2, -2
    drawn = overlays.overlay(image, values)
    assert drawn.shape == (224, 224, 3)
    assert drawn[0, 0, 0] > drawn[0, 0, 2] and drawn[-1, -1, 2] > 0.7
    assert not drawn[100, 100].any()
    png = overlays.encode(drawn)
    assert tf.io.decode_png(png).shape == (224, 224, 3)
    assert np.isfinite(overlays.overlay(image, np.zeros((2, 2)))).all()


def example(title: str) -> page.Example:
    words = [
        page.Word("</p><b>", -2.0),
        page.Word(" "),
        page.Word("good", 1.0),
    ]
    return page.Example(
        title, [{"file": title}], {"label": "<i>"}, words=words,
        pictures={"<u>": b"\x89PNG"}, table=[["<s>"], ["<q>"]],
    )  # fmt: skip


def test_the_page_escapes_every_text_and_appears_whole(tmp_path) -> None:
    path = tmp_path / "why.html"
    examples = (example(f"<script>{num}") for num in range(page.MOST + 2))
    rows = page.write(path, "<title>", ["<note>"], examples)
    assert next(rows) == {"file": "<script>0"}
    assert not path.exists()
    assert len(list(rows)) == page.MOST + 1
    text = path.read_text("utf-8")
    for tag in ("<script>", "</p><b>", "<i>", "<u>", "<s>", "<q>", "<note>"):
        assert tag not in text
    assert text.count("&lt;script&gt;") >= page.MOST
    assert f"&lt;script&gt;{page.MOST}" not in text
    assert 'title="-2.0000"' in text and "rgba(37, 99, 235, 0.800)" in text
    assert "rgba(234, 88, 12, 0.400)" in text
    assert [file.name for file in tmp_path.iterdir()] == ["why.html"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"page": "why.pdf"}, "--page must end in .html"),
        ({"page": "nowhere/why.html"}, "in a folder that exists"),
        ({"output": "why.xlsx"}, "--output must end in"),
        ({"variant": "int8"}, "explains the float model"),
        ({"server": "http://here:8501"}, "Leave --server out"),
    ],
)
def test_what_cannot_be_written_is_refused_first(changes, words) -> None:
    with pytest.raises(InputError, match=words):
        page.check(Config(mode="explain", **changes))


def test_an_app_without_explanations_says_so() -> None:
    class Plain(Options):
        """The options of an app that explains nothing."""

    Plain.__module__ = "common.config"
    with pytest.raises(InputError, match="--mode=explain is not offered"):
        program.run(Plain(mode="explain"))
