"""Text sentiment: an LSTM, from texts to a phone and a server.

Data: any TFDS text set by name, a table of your own, or the embedded
`generated_reviews`. Model: embedding, LSTM, pooling over time. Result: a
release with a SavedModel that takes strings, TFLite files with fused LSTM
operators, and a report. IMDB, 25,000 test reviews: 0.9124 after 198 s of
training; 0.9112 in a file 10 times smaller.

  python -m apps.text_sentiment --flagfile=apps/flagfiles/NAME.flags
  python -m apps.text_sentiment --mode=predict --inputs='Not bad at all!'
"""

import dataclasses
from typing import Any

import numpy as np
from etils import epy

from common import cluster, runtime, strict_json
from common import config as options
from common.compression import variants as names
from common.config import option

with epy.lazy_imports():
    import keras
    import tensorflow as tf

    from apps.text_sentiment import (
        batches,
        corpus,
        graph,
        linear,
        predict,
        results,
        self_training,
        vectors,
    )
    from apps.text_sentiment import data as text_data
    from apps.text_sentiment import model as networks
    from common import (
        compression,
        data,
        evaluation,
        export,
        report,
        served,
        training,
    )
    from common import tables as table_files

APP = "text_sentiment"


@dataclasses.dataclass(frozen=True)
class Config(options.Options):
    """Options of this app."""

    dataset: str = option(
        "",
        "a TFDS name, or a .csv, .tsv, .jsonl, .json or .parquet file; else "
        "generated_reviews.",
        data=True,
    )
    text_column: str = option("text", "the column of the texts.", data=True)
    label_column: str = option("label", "the column of the classes.", data=True)
    test_file: str = option(
        "",
        "test on this file; by default on a tenth of --dataset's.",
        data=True,
    )
    pretrain: str = option(
        "",
        "unlabelled texts, a split of the TFDS set or a file: they add to the "
        "vocabulary, to --vectors and to --self_training.",
    )
    self_training: bool = option(
        False, "train on those texts, too, labelled by the linear path."
    )
    vectors: bool = option(
        True, "start the embedding with vectors learnt from co-occurrences."
    )
    vocabulary_size: int = option(
        30_000, "the most token ids.", minimum=8, maximum=10_000_000
    )
    max_tokens: int = option(
        400,
        "tokens of a text; a longer one keeps a first quarter and its end.",
        minimum=4,
        maximum=4096,
    )
    embedding_dim: int = option(
        64, "numbers in a word's vector.", minimum=1, maximum=4096
    )
    units: int = option(32, "the size of each LSTM.", minimum=1, maximum=4096)
    num_layers: int = option(1, "LSTMs upon one another.", minimum=1, maximum=8)
    bidirectional: bool = option(
        False, "a second LSTM of each layer reads backwards."
    )
    pooling: str = option(
        "mean_max",
        "what is kept of the LSTM's outputs over time.",
        choices=("mean_max", "mean", "max", "last"),
    )
    word_dropout: float = option(
        0.2, "part of the words made unknown in training.", minimum=0.0,
        maximum=0.9,
    )  # fmt: skip
    dropout: float = option(
        0.3, "part of the vectors' channels and of the features dropped.",
        minimum=0.0, maximum=0.9,
    )  # fmt: skip
    num_pairs: int = option(
        524_287,
        "hash buckets, best a prime, of the pairs of words that a linear path "
        "beside the LSTM knows; 0: no such path.",
        minimum=0,
        maximum=2**26,
    )
    variants: tuple[str, ...] = option(
        ("float32", "dynamic", "int8", "prune+int8"),
        "TFLite files to make, e.g. float32,dynamic,prune+int8.",
        training=False,
    )
    patience: int = option(
        0, "epochs without improvement before an early stop; 0: none.",
        minimum=0,
    )  # fmt: skip
    variant: str = option(
        "",
        "evaluate, predict: use this TFLite file, not the SavedModel.",
        training=False,
    )

    def __post_init__(self) -> None:
        """Checks the options, and the variants' names before any work."""
        super().__post_init__()
        names.parse(self.variants)
        if not self.dataset and self.mode == "train":
            object.__setattr__(self, "dataset", "generated_reviews")


def load_data(config: Config) -> "text_data.TextSplits":
    """Loads the texts and makes padded token ids of them."""
    return text_data.tokenize(
        load_texts(config), config.vocabulary_size, config.max_tokens
    )


def load_texts(
    config: Config, whole: str = "", classes: tuple[str, ...] = ()
) -> "corpus.Corpus":
    """Loads the texts and their labels.

    Args:
        config: The options.
        whole: The option whose file, all of it, judges a release, if any.
        classes: That release's.
    """
    fields = dataclasses.fields(corpus.Source)
    source = corpus.Source(
        **{one.name: getattr(config, one.name) for one in fields}
    )
    if whole and table_files.is_table(getattr(config, whole)):
        return corpus.whole(source, classes, whole)
    return corpus.load(source)


def build_model(
    config: Config, splits: "text_data.TextSplits"
) -> "keras.Model":
    """Builds the network for the vocabulary and classes of `splits`."""
    return networks.build(
        len(splits.tokenizer.vocabulary),
        len(splits.class_names),
        embedding_dim=config.embedding_dim,
        units=config.units,
        num_layers=config.num_layers,
        bidirectional=config.bidirectional,
        pooling=config.pooling,
        dropout=config.dropout,
        num_pairs=config.num_pairs,
    )


def compile_model(
    model: "keras.Model", config: Config, num_steps: int
) -> "keras.Model":
    """Compiles `model` with Adam, cross-entropy and a cosine schedule."""
    model.compile(
        keras.optimizers.Adam(
            training.learning_rate(config, "cosine", 0.1, num_steps)
        ),
        keras.losses.CategoricalCrossentropy(),
        metrics=["accuracy"],
        # Measured on IMDB and one core: 107 ms per step, with XLA 268, and
        # each new length would cost another 5 s of compilation.
        jit_compile=False,
    )
    return model


def evaluate(model: "keras.Model", split: "data.MemorySplit") -> np.ndarray:
    """Returns probabilities `(num, classes)`, in the order of the split."""
    run = tf.function(
        lambda ids: model(ids, training=False), reduce_retracing=True
    )
    found = np.empty((split.num_examples, model.output_shape[1]), np.float32)
    for places, ids in batches.by_length(split):
        found[places] = run(ids).numpy()
    return found


def signatures(
    model: "keras.Model",
    splits: "text_data.TextSplits",
    tokenizer: "graph.GraphTokenizer",
) -> dict[str, "export.Signature"]:
    """Returns what a client may send: texts, or token ids."""
    class_names = tf.constant(splits.class_names)

    def token_ids(ids: Any) -> dict[str, Any]:
        probabilities = model(ids, training=False)
        label = tf.gather(class_names, tf.argmax(probabilities, axis=1))
        return {"label": label, "probabilities": probabilities}

    def text(strings: Any) -> dict[str, Any]:
        return token_ids(tokenizer(strings))

    few = ["", *splits.corpus.splits["valid"].texts[:7]]
    padded = np.array([splits.tokenizer.padded(one) for one in few], np.int32)
    return {
        "serving_default": export.Signature(
            text,
            (tf.TensorSpec((None,), tf.string, "text"),),
            (np.array([one.encode() for one in few]),),
        ),
        "token_ids": export.Signature(
            token_ids,
            (tf.TensorSpec((None, None), tf.int32, "token_ids"),),
            (padded,),
        ),
    }


def run(config: Config) -> dict[str, Any]:
    """Trains, compresses, measures and releases; returns the report."""
    export.check(config.export_dir)
    splits = load_data(config)
    work_dir = config.run_dir(APP, splits.digest())
    tables = linear.fit(splits, config.num_pairs) if config.num_pairs else None
    teacher = tables if config.self_training else None
    taught = self_training.teach(splits, teacher)
    num_steps = data.num_steps(taught.train, config.batch_size)
    with training.scope(config):
        model = compile_model(build_model(config, splits), config, num_steps)
    variants, refused = compression.plan(
        model, names.parse(config.variants), config
    )
    if config.vectors:
        found = vectors.of(splits, config.embedding_dim, config.seed)
        networks.start(model, found)
    num_classes = len(splits.class_names)
    transform = batches.for_training(num_classes, config.word_dropout)
    log = training.fit(
        model, taught, config,
        work_dir=work_dir,
        transform=transform,
        evaluation_transform=batches.for_evaluation(num_classes),
        monitor="val_accuracy",
        patience=config.patience,
    )  # fmt: skip
    cluster.end_unless_chief()
    joined = linear.join(model, tables, splits, evaluate) if tables else None
    twins = compression.compress(
        model, variants, compression.Finetuning(taught.train, transform, config)
    )
    measured = {
        name: evaluate(model, getattr(splits, name))
        for name in ("valid", "test")
    }
    with export.release(config.export_dir, APP) as draft:
        tokenizer = graph.GraphTokenizer(splits.tokenizer)
        serving = export.save(
            draft.directory, model, signatures(model, splits, tokenizer),
            tracked=[tokenizer],
        )  # fmt: skip
        rows = results.write_mobile(
            draft.directory / "mobile", twins, variants, splits, config,
            reference=measured["test"],
        )  # fmt: skip
        result = report.build(
            APP, config, splits,
            task_metric="accuracy",
            metrics=results.summarize(measured, splits),
            baselines=results.compare(splits, joined),
            log=log, variants=rows, refused=refused, serving=serving,
        )  # fmt: skip
        shown = results.show(result, model, splits, measured["test"])
        report.write(draft.directory / "report", result, shown)
    training.finish(work_dir)
    report.print_table(result, draft.path)
    return result


def main(config: Config) -> None:
    """Does what `--mode` says."""
    cluster.start(config)
    if config.mode == "train":
        run(config)
        return
    asked = served.connect(config, APP)
    classifier = predict.Classifier(asked, config.variant)
    trained = evaluation.trained_with(asked)
    whole = next(
        (one for one in ("test_file", "dataset")
         if evaluation.is_whole(config, trained, one)), "",
    )  # fmt: skip
    test_file = config.test_file
    own = evaluation.is_own(config, trained)
    # The same seed gives a file the same split: no training text is tested.
    config = options.as_trained(config, trained)
    if not own:  # The release's test file goes with its own data.
        config = config.replace(test_file=test_file)
    if config.mode == "predict":
        predict.predict(classifier, config, config.text_column)
        return
    texts = load_texts(
        config.replace(pretrain=""), whole, classifier.class_names
    )
    result = predict.evaluate(classifier, texts)
    runtime.console().print(strict_json.dumps(result))


if __name__ == "__main__":
    options.launch(main, Config)
