"""TFDS builder of generated interactions; needs no download."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

USERS, ITEMS, FACTORS = 400, 240, 8
SHORTEST, LONGEST = 12, 60
STAY = 0.7  # The weight of the film before in a choice.
GENRES = (
    "comedy", "crime", "documentary", "drama", "family", "horror", "romance",
    "science fiction",
)  # fmt: skip


class Builder(tfds.core.GeneratorBasedBuilder):
    """Generated interactions of 400 users with 240 films; not real.

    Users and films have latent factors, one a genre; films differ in
    popularity, and what a user watches next also depends on the film before.
    The features are those of TFDS's `movielens`.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        """Describes one interaction."""
        genres = tfds.features.ClassLabel(names=GENRES)
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "user_id": tfds.features.Text(),
                    "movie_id": tfds.features.Text(),
                    "movie_title": tfds.features.Text(),
                    "movie_genres": tfds.features.Sequence(genres),
                    "timestamp": np.int64,
                    "user_rating": np.float32,
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        """Puts all interactions into train: the app splits them."""
        return {"train": self._generate_examples(np.random.default_rng(0))}

    def _generate_examples(self, rng: np.random.Generator) -> Iterator:
        """Yields `(key, example)`."""
        items = rng.dirichlet(np.full(FACTORS, 0.2), ITEMS)
        popularity = rng.gumbel(0.0, 0.4, ITEMS)
        for user in range(USERS):
            taste = rng.dirichlet(np.full(FACTORS, 0.5))
            watched: list[int] = []
            start = int(rng.integers(1_600_000_000, 1_700_000_000))
            for step in range(int(rng.integers(SHORTEST, LONGEST))):
                mood = taste
                if watched:
                    mood = (1 - STAY) * taste + STAY * items[watched[-1]]
                score = popularity + 12 * items @ mood + rng.gumbel(size=ITEMS)
                score[watched] = -np.inf
                watched.append(int(score.argmax()))
                yield (
                    f"{user}-{step}",
                    _example(
                        user,
                        watched[-1],
                        items[watched[-1]],
                        start + 600 * step,
                    ),
                )


def _example(
    user: int, item: int, factors: np.ndarray, time: int
) -> dict[str, Any]:
    """Returns one interaction; a film's genres are its greatest factors."""
    genres = np.flatnonzero(factors >= min(0.3, factors.max()))
    name = " and ".join(GENRES[genre] for genre in genres[:2])
    return {
        "user_id": f"user-{user}",
        "movie_id": f"film-{item}",
        "movie_title": f"Generated {name} no. {item}",
        "movie_genres": [int(genre) for genre in genres],
        "timestamp": time,
        "user_rating": 5.0,
    }
