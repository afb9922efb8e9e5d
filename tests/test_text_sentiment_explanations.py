"""Which words moved a text's class: parts, places, and the whole mode."""

import keras
import numpy as np
import pytest

from apps.text_sentiment import explanations, places, vocabulary
from apps.text_sentiment import model as networks
from common.explanation import gradients

WORDS = ("good", "bad", "film", "it's", "\u4e2d", "!", "1")
TOKENIZER = vocabulary.make((*vocabulary.SPECIAL, *WORDS), 8)
IDS = [2, 3, 1, 4, 7, 2]


def network(seed: int, classes: int = 3, **changes) -> keras.Model:
    """Returns a network whose linear path has weights too."""
    keras.utils.set_random_seed(seed)
    sizes = {"embedding_dim": 8, "units": 6, "num_pairs": 97, **changes}
    model = networks.build(20, classes, **sizes)
    rng = np.random.default_rng(seed)
    layer = model.get_layer("embedding")
    layer.set_weights([rng.normal(size=(20, 8))])
    if sizes["num_pairs"]:
        networks.set_tables(
            model,
            rng.normal(size=(20, classes)),
            rng.normal(size=(97, classes)),
        )
    return model


@pytest.mark.parametrize(
    "changes",
    [{"classes": 2}, {"num_pairs": 0}],
    ids=str,
)
def test_parts_add_up_to_the_change_from_unknown_words(changes) -> None:
    model = network(0, **changes)
    result = explanations.Explainer(model)(IDS, 1)
    logits = keras.Model(model.input, gradients.logits(model))
    values = logits(np.array([IDS, [1] * len(IDS)])).numpy()
    score, baseline = values[:, 1] - np.delete(values, 1, axis=1).mean(axis=1)
    assert abs(score - baseline) > 0.05
    assert result.values.shape == (len(IDS),)
    assert result.values.sum() == pytest.approx(score - baseline, abs=1e-3)
    assert (result.score, result.baseline_score) == pytest.approx(
        (score, baseline), abs=1e-5
    )
    assert result.values[2] == 0  # An unknown word is its own baseline.


def test_the_linear_path_is_exact_and_shared_by_the_words_of_a_pair() -> None:
    model = network(0)
    networks.scale_logits(model, 0.0)
    result = explanations.Explainer(model)([5, 6], 0)
    words, pairs = (
        model.get_layer(name).get_weights()[0] for name in networks.TABLES
    )
    words, pairs = (x[:, 0] - x[:, 1:].mean(axis=1) for x in (words, pairs))

    def pair(before: int, word: int) -> float:
        row = np.array([[before, word]], np.int32)
        return pairs[int(networks.pair_ids(row, 20, 97)[0, 1])]

    first, second, unknown = 5, 6, 1
    expected = [
        words[first] - words[unknown] + pair(0, first) - pair(0, unknown)
        + (pair(first, second) - pair(unknown, second)
           + pair(first, unknown) - pair(unknown, unknown)) / 2,
        words[second] - words[unknown]
        + (pair(first, second) - pair(first, unknown)
           + pair(unknown, second) - pair(unknown, unknown)) / 2,
    ]  # fmt: skip
    np.testing.assert_allclose(result.values, expected, atol=1e-5)
    assert result.error < 1e-5


def test_other_weights_give_other_parts() -> None:
    """Sanity checks for saliency maps (Adebayo et al., 2018)."""
    ids = np.random.default_rng(0).integers(2, 20, 40).tolist()
    first, second = (
        explanations.Explainer(network(seed))(ids, 0).values for seed in (0, 1)
    )
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.4


def test_each_word_stands_where_its_span_says() -> None:
    texts = [
        "", "Good<br />BAD", "It\u2019s 'good' &amp; \u4e2d\u4e2d!!", "  a  ",
        "<b> b </b> b", "\U0001f600good\U0001f600", "&quot;''x''&quot;",
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    alphabet = [*"ab'!<>/&;q \u2019\u4e2d\xbf", "<b>", "&amp;", "It's"]
    texts += ["".join(rng.choice(alphabet, 12)) for _ in range(300)]
    for text in texts:
        words = TOKENIZER.words(text)
        spans = places.spans(TOKENIZER, text)
        shown = [text[start:stop].lower() for start, stop in spans]
        assert [x.replace("\u2019", "'") for x in shown] == words, text
        ends = [place for span in spans for place in span]
        assert ends == sorted(ends)


def test_a_long_text_has_no_parts_in_its_middle() -> None:
    num = 11
    words = [str(place) for place in range(num)]
    tokenizer = vocabulary.make((*vocabulary.SPECIAL, *words), 8)
    read = places.read_words(tokenizer, num)
    assert tokenizer.ids(words) == [place + 2 for place in read]
    assert read == [0, 1, 5, 6, 7, 8, 9, 10]
    assert places.read_words(tokenizer, 3) == [0, 1, 2]
