"""The options of the recommender."""

import dataclasses

from common.options import option
from common.shared_options import ExplanationOptions
from common.table_options import CellOptions

APP = "recommender"
PROTOCOLS = ("leave_last_out", "random_75_25")


@dataclasses.dataclass(frozen=True)
class Config(CellOptions, ExplanationOptions):
    """Options of this app."""

    default_dataset = "tastes"

    dataset: str = option(
        "",
        "a TFDS movielens name, or a table of your own; default tastes.",
        data=True,
    )
    user_column: str = option(
        "user_id", "own table: column of the users' ids.", data=True
    )
    item_column: str = option(
        "item_id", "own table: column of the items' ids.", data=True
    )
    time_column: str = option(
        "",
        "own table: column of times, numbers or dates; by default the rows are "
        "in order.",
        data=True,
    )
    rating_column: str = option(
        "",
        "own table: column of numbers, such as ratings or quantities; see "
        "--min_rating.",
        data=True,
    )
    title_column: str = option(
        "", "own table: column of the items' titles.", data=True
    )
    features_column: str = option(
        "",
        "own table: column of an item's words, such as genres, joined by |.",
        data=True,
    )
    min_rating: float = option(
        0.0,
        "rows with a lower rating are left out, all other rows count alike; 0 "
        "leaves out negative ratings, such as those of returned goods.",
        minimum=0.0,
        data=True,
    )
    k_core: int = option(
        0,
        "the least rows that each remaining user and item has; others are left "
        "out, 0 keeps all.",
        minimum=0,
        data=True,
    )
    on_bad_input: str = option(
        "fail", "what to do with rows that lack a time or a rating.",
        choices=("fail", "skip"), data=True,
    )  # fmt: skip
    protocol: str = option(
        "leave_last_out",
        "which interactions are held out for validation and test.",
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
        "the number of latest items that the model looks at.",
        minimum=1,
        maximum=10_000,
    )
    dim: int = option(
        64, "size of the users' and items' vectors.", minimum=1, maximum=4096
    )
    blocks: int = option(
        3,
        "sequential: the number of convolutions, each of which sees twice as "
        "far back as the one before.",
        minimum=1,
        maximum=16,
    )
    dropout: float = option(
        0.4,
        "the part of a history's items that is dropped in training, or, of "
        "sequential, the part of the features.",
        minimum=0.0,
        maximum=0.9,
    )
    user_dropout: float = option(
        0.5, "the part of examples whose user is hidden; 1 uses no users.",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    wide: float = option(
        0.0, "weight of the linear part: an item-item matrix.", minimum=0.0
    )
    wide_penalty: float = option(
        8.0, "penalty of the item-item matrix.", minimum=1e-3
    )
    wide_rank: int = option(
        16,
        "number of leading directions in the item-item matrix.",
        minimum=0,
        maximum=4096,
    )
    softmax: str = option(
        "auto",
        "softmax over all items, or over a sample; auto: all up to 20,000.",
        choices=("auto", "full", "sampled"),
    )
    weight_decay: float = option(
        0.0, "AdamW's decay of all weights.", minimum=0.0
    )
    refit: bool = option(
        False,
        "fit again, to the interactions of validation too, for as many epochs "
        "as were best.",
    )
    k: int = option(
        20,
        "length of the lists that are served.",
        minimum=1,
        maximum=10_000,
        training=False,
    )
    baselines: bool = option(
        True, "fit the simple recommenders too.", training=False
    )
