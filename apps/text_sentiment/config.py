"""The options of text sentiment."""

import dataclasses

from common.options import option, with_default
from common.shared_options import (
    ExplanationOptions,
    LSTMOptions,
    Options,
    TFLiteOptions,
)
from common.slice_options import SliceOptions
from common.table_options import TableOptions
from common.teacher_options import TeacherOptions

APP = "text_sentiment"


@dataclasses.dataclass(frozen=True)
class Config(
    TableOptions,
    SliceOptions,
    TFLiteOptions,
    LSTMOptions,
    TeacherOptions,
    ExplanationOptions,
):
    """Options of this app."""

    default_dataset = "generated_reviews"

    dataset: str = option(
        "",
        "a TFDS name, or a table, such as a .csv or .parquet file; by default "
        "generated_reviews.",
        data=True,
    )
    text_column: str = option("text", "the column of the texts.", data=True)
    label_column: str = option("label", "the column of the classes.", data=True)
    test_file: str = option(
        "",
        "a file whose texts are the test split; by default a tenth of the "
        "texts of --dataset is.",
        data=True,
    )
    pretrain: str = option(
        "",
        "a split of the TFDS set or a file with unlabelled texts, which the "
        "vocabulary, --vectors and --self_training use too.",
    )
    self_training: bool = option(
        False,
        "train on the texts of --pretrain too, labelled by the linear path.",
    )
    on_bad_input: str = option(
        "fail",
        "what to do with rows of too rare or unknown classes, or of labels "
        "that cannot be printed.",
        choices=("fail", "skip"),
        data=True,
    )
    class_weights: str = option(
        "none",
        "balanced: in training, rows of a rare class count more, so that all "
        "classes count alike.",
        choices=("none", "balanced"),
    )
    vectors: bool = option(
        True, "start the embedding with vectors learnt from co-occurrences."
    )
    vocabulary_size: int = option(
        30_000,
        "the largest number of token ids.",
        minimum=8,
        maximum=10_000_000,
    )
    max_tokens: int = option(
        400,
        "the most tokens of a text; a longer text loses its middle.",
        minimum=4,
        maximum=4096,
    )
    embedding_dim: int = option(
        64, "the size of each word's vector.", minimum=1, maximum=4096
    )
    units: int = option(32, "the size of each LSTM.", minimum=1, maximum=4096)
    num_layers: int = option(
        1, "the number of stacked LSTMs.", minimum=1, maximum=8
    )
    bidirectional: bool = option(
        False, "add a second LSTM to each layer, which reads backwards."
    )
    pooling: str = option(
        "mean_max",
        "the features made from the LSTM's outputs over time.",
        choices=("mean_max", "mean", "max", "last"),
    )
    word_dropout: float = option(
        0.2,
        "the part of the words that is made unknown in training.",
        minimum=0.0,
        maximum=0.9,
    )
    dropout: float = option(
        0.3,
        "the part of the vectors' channels and of the features that is dropped "
        "in training.",
        minimum=0.0,
        maximum=0.9,
    )
    num_pairs: int = option(
        524_287,
        "the number of hash buckets, best a prime, for the pairs of words in a "
        "linear path beside the LSTM; 0 leaves the path out.",
        minimum=0,
        maximum=2**26,
    )
    variants: tuple[str, ...] = with_default(
        Options, "variants", ("float32", "dynamic", "int8", "prune+int8")
    )
