"""TFDS builder of generated reviews, which nobody wrote; no download."""

import random
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

SIZES = {"train": 2000, "test": 500, "unsupervised": 1000}
SUBJECTS = (
    "the plot", "the acting", "the music", "the ending", "the script",
    "the camera work", "the first half", "the dialogue", "the lead actor",
    "the whole cast", "the pace", "the sound", "the story",
)  # fmt: skip
WORDS = {
    1: ("good", "moving", "clever", "funny", "superb", "charming", "gripping",
        "fresh", "convincing", "brilliant", "warm", "worth seeing"),
    0: ("bad", "dull", "silly", "boring", "awful", "flat", "confused",
        "stale", "wooden", "pointless", "cold", "a waste of time"),
}  # fmt: skip
NEGATIONS = ("not", "never", "not at all", "hardly", "not for a moment")
INTENSIFIERS = ("", "", "very ", "really ", "truly ", "quite ", "so ")
OPENINGS = ("I saw it last week.", "We watched this at home.", "My second try.")
ENDS = {1: ("!", ".", " 😀", "<br />"), 0: ("!", ".", " 😞", "<br />")}


class Builder(tfds.core.GeneratorBasedBuilder):
    """3,500 short reviews made by rules: negation, intensifiers, contrast.

    They show that every step works, and that word order is learnt; they say
    nothing about reviews that people write. A third of the labelled texts have
    one clause of the other sentiment before the word `but`, which the label
    does not follow.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        """Describes texts and the labels `negative`, `positive`."""
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "text": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(
                        names=("negative", "positive")
                    ),
                }
            ),
            supervised_keys=("text", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        """Generates each split with random numbers of its own."""
        return {name: self._generate_examples(name) for name in SIZES}

    def _generate_examples(self, name: str) -> Iterator:
        """Yields `(key, example)`; unlabelled examples have the label -1."""
        rng = random.Random(name)
        for key in range(SIZES[name]):
            label = rng.randrange(2)
            known = name != "unsupervised"
            text = review(rng, label)
            yield key, {"text": text, "label": label if known else -1}


def review(rng: random.Random, label: int) -> str:
    """Returns a review of the sentiment `label`, 0 or 1."""
    parts = [rng.choice(OPENINGS)] if rng.random() < 0.5 else []
    for _ in range(rng.randrange(1, 4)):
        sentence = clause(rng, label)
        if rng.random() < 0.3:
            sentence = f"{clause(rng, 1 - label)}, but {sentence}"
        parts.append(sentence.capitalize() + rng.choice(ENDS[label]))
    return " ".join(parts)


def clause(rng: random.Random, label: int) -> str:
    """Returns a clause; in half of all clauses a negation turns the sense."""
    negated = rng.random() < 0.5
    word = rng.choice(WORDS[label ^ negated])
    negation = f"{rng.choice(NEGATIONS)} " if negated else ""
    subject, very = rng.choice(SUBJECTS), rng.choice(INTENSIFIERS)
    return f"{subject} was {negation}{very}{word}"
