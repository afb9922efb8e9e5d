"""The options of the recommender."""

import dataclasses

from common.options import option
from common.shared_options import Options

APP = "recommender"
PROTOCOLS = ("leave_last_out", "random_75_25")


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Options of this app."""

    default_dataset = "tastes"

    dataset: str = option(
        "",
        "a TFDS movielens name, or a table of your own; default tastes.",
        data=True,
    )
    user_column: str = option(
        "user_id", "own table: the users' ids.", data=True
    )
    item_column: str = option(
        "item_id", "own table: the items' ids.", data=True
    )
    time_column: str = option(
        "",
        "own table: numbers or dates; by default the rows are in order.",
        data=True,
    )
    rating_column: str = option("", "own table: numbers.", data=True)
    title_column: str = option("", "own table: the items' titles.", data=True)
    features_column: str = option(
        "",
        "own table: words of an item, such as genres, joined by |.",
        data=True,
    )
    min_rating: float = option(
        0.0, "lower ratings are left out.", minimum=0.0, data=True
    )
    k_core: int = option(
        0,
        "drop users and items with fewer rows, again and again.",
        minimum=0,
        data=True,
    )
    on_bad_input: str = option(
        "fail", "what to do with rows that lack values.",
        choices=("fail", "skip"), data=True,
    )  # fmt: skip
    protocol: str = option(
        "leave_last_out",
        "what is held out.",
        choices=PROTOCOLS,
        data=True,
    )
    model: str = option(
        "sequential",
        "the network.",
        choices=("two_tower", "sequential", "mf", "neumf"),
    )
    history: int = option(
        50,
        "the last items that the model looks at.",
        minimum=1,
        maximum=10_000,
    )
    dim: int = option(64, "size of the vectors.", minimum=1, maximum=4096)
    blocks: int = option(
        3,
        "sequential: convolutions, each sees twice as far.",
        minimum=1,
        maximum=16,
    )
    dropout: float = option(
        0.4, "of histories; sequential: of features.", minimum=0.0, maximum=0.9
    )
    user_dropout: float = option(
        0.5, "part of examples whose user is unknown; 1: no users at all.",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    wide: float = option(
        0.0, "weight of the linear part: an item-item matrix.", minimum=0.0
    )
    wide_penalty: float = option(8.0, "of that matrix.", minimum=1e-3)
    wide_rank: int = option(
        16, "its leading directions.", minimum=0, maximum=4096
    )
    softmax: str = option(
        "auto",
        "over all items, or a sample; auto: all up to 20,000.",
        choices=("auto", "full", "sampled"),
    )
    weight_decay: float = option(0.0, "AdamW's, of all weights.", minimum=0.0)
    refit: bool = option(
        False, "fit again, validation's interactions too, for the best epochs."
    )
    k: int = option(
        20,
        "length of the lists that are served.",
        minimum=1,
        maximum=10_000,
        training=False,
    )
    baselines: bool = option(True, "fit them as well.", training=False)
