"""Explanations: which words moved the model to the class that it gave.

A word is compared with an unknown one. On the path through the LSTM its part is
that of integrated gradients, from the vector of unknown words to its own. On
the linear path its part is exact: its own weight, and the Shapley values of the
two pairs that it is in.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.explanation import gradients, page
from common.explanation.gradients import Attribution
from common.release import evaluation, networks, predictions

from . import model as text_networks
from . import places, predict, results, vocabulary
from .config import APP, Config
from .tokenizer import Tokenizer
from .vocabulary import PADDING, UNKNOWN

NOTES = (
    page.OF_THE_FLOAT_MODEL,
    page.COLOURS,
    "The score is the logit of the class that was predicted, less the mean "
    "logit of the other classes; of two classes it is the logarithm of the "
    "odds. The parts of all words add up to the change of the score from a "
    "text of as many unknown words; the completeness error is what they miss. "
    "A word that the model does not know has no part, nor has the middle of a "
    "text that is too long for the model.",
)
# Columns of the table that are shortened on the console.
TEXT, CONTRIBUTIONS = "text", "contributions"


class Explainer:
    """Explains the classes that a network gives."""

    def __init__(self, network: keras.Model) -> None:
        """Prepares the explanations of a network of `model.build`."""
        logits = gradients.logits(network)
        self._logits = keras.Model(network.input, logits)
        layer = network.get_layer("embedding")
        (self._vectors,) = layer.get_weights()
        # The embedding takes ids, which have no gradients; its outputs do.
        behind = keras.Model([network.input, layer.output], logits)

        def score(vectors: tf.Tensor, context: Any) -> tf.Tensor:
            ids, label_id = context
            num = tf.shape(vectors)[0]
            repeated = tf.tile(ids[None], [num, 1])
            values = behind([repeated, vectors], training=False)
            return gradients.margin(values, label_id)

        self._integrated = gradients.IntegratedGradients(score)
        names = {layer.name for layer in network.layers}
        self._tables: list[np.ndarray] = [
            network.get_layer(name).get_weights()[0]
            for name in text_networks.TABLES
            if name in names
        ]

    def __call__(self, ids: Sequence[int], label_id: int) -> Attribution:
        """Returns the part of each word in a class's score, `(length,)`.

        Args:
            ids: The ids of a text, without padding.
            label_id: The class.
        """
        own = np.array(ids, np.int32)
        unknown = np.full_like(own, UNKNOWN)
        label = tf.constant(label_id)
        through_lstm = self._integrated(
            self._vectors[own],
            self._vectors[unknown],
            (tf.constant(own), label),
        )
        parts = through_lstm.values.sum(axis=1) + self._linear(own, label_id)
        # Asked of the whole network: the sum of all parts is checked by it.
        values = self._logits(np.stack([own, unknown]), training=False)
        score, baseline = gradients.margin(values, label).numpy().tolist()
        return Attribution(parts, score, baseline)

    def _linear(self, ids: np.ndarray, label_id: int) -> np.ndarray:
        """Returns the part of each word on the linear path, `(length,)`.

        A pair's weight less that of two unknown words is the sum of the Shapley
        values of its words: each is the mean change when the word becomes
        known, before and after the other one.
        """
        if not self._tables:
            return np.zeros(len(ids))
        words, pairs = (
            gradients.margin(tf.constant(table), tf.constant(label_id)).numpy()
            for table in self._tables
        )
        before = np.concatenate([[PADDING], ids[:-1]])
        nothing = np.where(before == PADDING, PADDING, UNKNOWN)

        def weights(first: np.ndarray, second: Any) -> np.ndarray:
            rows = np.stack(np.broadcast_arrays(first, second), axis=1)
            places = text_networks.pair_ids(
                rows.astype(np.int32), len(words), len(pairs)
            )
            return pairs[keras.ops.convert_to_numpy(places)[:, 1]]

        both, neither = weights(before, ids), weights(nothing, UNKNOWN)
        only_first = weights(before, UNKNOWN) - neither
        only_second = weights(nothing, ids) - neither
        together = both - neither
        parts = words[ids] - words[UNKNOWN]
        parts += (together - only_first + only_second) / 2
        parts[:-1] += ((together - only_second + only_first) / 2)[1:]
        return parts


def run(config: Config) -> None:
    """Explains the class of each text that `--inputs` names."""
    page.check(config)
    use = evaluation.use(config, APP)
    options = use.config
    texts = predict.read(
        options.inputs, options.text_column, options.table_format
    )
    classifier = predict.Classifier(use.served)
    tokenizer = vocabulary.read(use.served.release / "mobile")
    explainer = Explainer(networks.load(use.served.release))
    page.show(
        options,
        "Why the texts got their classes",
        NOTES,
        _explained(classifier, explainer, tokenizer, texts),
        _shorten,
    )


def _explained(
    classifier: predict.Classifier,
    explainer: Explainer,
    tokenizer: Tokenizer,
    texts: Iterable[str],
) -> Iterator[page.Example]:
    """Yields each text's explanation."""
    for num, text in enumerate(texts):
        probabilities, (label,) = classifier([text])
        words = tokenizer.words(text)
        ids = tokenizer.ids(words)
        result = explainer(ids, int(probabilities[0].argmax()))
        read = places.read_words(tokenizer, len(words))
        parts = dict(zip(read, result.values.tolist(), strict=False))
        facts = {
            "label": label,
            "probability": round(float(probabilities[0].max()), 6),
            "score": round(result.score, 6),
            "baseline_score": round(result.baseline_score, 6),
            "completeness_error": round(result.error, 6),
        }
        contributions = " ".join(
            f"{words[place]}:{part:+.4f}" for place, part in parts.items()
        )
        yield page.Example(
            f"Text {num + 1}",
            [{TEXT: text, **facts, CONTRIBUTIONS: contributions}],
            facts,
            words=_coloured(text, places.spans(tokenizer, text), parts),
        )


def _coloured(
    text: str, spans: Sequence[tuple[int, int]], parts: dict[int, float]
) -> list[page.Word]:
    """Returns a text, whole and in order, as words with and without parts."""
    words, end = [], 0
    for place, (start, stop) in enumerate(spans):
        words += [
            page.Word(text[end:start]),
            page.Word(text[start:stop], parts.get(place)),
        ]
        end = stop
    return [*words, page.Word(text[end:])]


def _shorten(row: predictions.Row) -> predictions.Row:
    """Returns a row that fits the console."""
    return {
        **row,
        **{
            key: results.shorten(row[key], predict.SHOWN_CHARACTERS)
            for key in (TEXT, CONTRIBUTIONS)
        },
    }
