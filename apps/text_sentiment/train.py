"""The story of text sentiment, from data to a release."""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common import variants
from common.compression import chain
from common.compression.finetuning import Finetuning
from common.data import pipelines, tables
from common.data.splits import MemorySplit
from common.release import export, publishing, teachers
from common.report import metrics
from common.training import distillation, fitting, inference
from common.workers import cluster

from . import (
    batches,
    corpus,
    graph,
    linear,
    results,
    self_training,
    subject,
    vectors,
    vocabulary,
    weighting,
)
from . import data as text_data
from . import model as networks
from .config import APP, Config


def load_data(config: Config) -> text_data.TextSplits:
    """Loads the texts and makes padded token ids of them."""
    splits = text_data.tokenize(
        load_texts(config), config.vocabulary_size, config.max_tokens
    )
    if config.class_weights == "balanced":
        return text_data.balanced(splits)
    return splits


def load_texts(
    config: Config, judged_option: str = "", classes: tuple[str, ...] = ()
) -> corpus.Corpus:
    """Loads the texts and their labels.

    Args:
        config: The options.
        judged_option: The option that names a file whose texts all judge a
            release; "" to load data for training.
        classes: That release's classes.
    """
    fields = dataclasses.fields(corpus.Source)
    source = corpus.Source(
        **{field.name: getattr(config, field.name) for field in fields}
    )
    if judged_option and tables.is_table(getattr(config, judged_option)):
        return corpus.load_for_evaluation(source, classes, judged_option)
    return corpus.load(source)


def build_model(config: Config, splits: text_data.TextSplits) -> keras.Model:
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
    model: keras.Model, config: Config, num_steps: int
) -> keras.Model:
    """Compiles `model` with Adam, cross-entropy and a cosine schedule."""
    plain = keras.losses.CategoricalCrossentropy()
    is_weighted = config.class_weights != "none"
    model.compile(
        keras.optimizers.Adam(
            fitting.learning_rate(config, "cosine", 0.1, num_steps)
        ),
        weighting.cross_entropy if is_weighted else plain,
        metrics=["accuracy"],
        # Measured on IMDB and one core: 107 ms per step, with XLA 268, and
        # each new length would cost another 5 s of compilation.
        jit_compile=False,
    )
    return model


def evaluate(model: keras.Model, split: MemorySplit) -> np.ndarray:
    """Returns probabilities `(num, classes)`, in the order of the split."""
    by_length = ((ids, place) for place, ids in batches.by_length(split))
    probabilities, places = inference.outputs(model, by_length)
    return probabilities[np.argsort(places)]


def load_teacher(
    config: Config, splits: text_data.TextSplits, student: keras.Model
) -> distillation.Teacher | None:
    """Returns the network of `--teacher`, if there is one.

    Raises:
        InputError: If its classes or its token ids are not those of the
            student.
    """
    if not config.teacher:
        return None
    release = teachers.load(config, APP)
    path, network = release.path, release.network
    release.check_classes(splits.class_names)
    vocabulary.check_same(vocabulary.read(path / "mobile"), splits.tokenizer)
    distillation.check(network, student, str(path))
    probabilities = evaluate(network, splits.valid)
    return distillation.Teacher.of(
        network,
        config,
        metrics={
            "accuracy": metrics.accuracy(probabilities, splits.valid.labels)
        },
        notes=release.notes(config, splits),
    )


def signatures(
    model: keras.Model,
    splits: text_data.TextSplits,
    tokenizer: graph.GraphTokenizer,
) -> dict[str, export.Signature]:
    """Returns the signatures: for texts, token ids, and names of classes."""
    class_names = tf.constant(splits.class_names)

    def token_ids(ids: Any) -> dict[str, Any]:
        probabilities = model(ids, training=False)
        label = tf.gather(class_names, tf.argmax(probabilities, axis=1))
        return {"label": label, "probabilities": probabilities}

    def text(strings: Any) -> dict[str, Any]:
        return token_ids(tokenizer(strings))

    def class_names_at(places: Any) -> dict[str, Any]:
        return {"class_name": tf.gather(class_names, places)}

    texts = ["", *splits.corpus.splits["valid"].texts[:7]]
    padded = np.array(
        [splits.tokenizer.padded(string) for string in texts], np.int32
    )
    return {
        "serving_default": export.Signature(
            text,
            (tf.TensorSpec((None,), tf.string, "text"),),
            (np.array([string.encode() for string in texts]),),
        ),
        "token_ids": export.Signature(
            token_ids,
            (tf.TensorSpec((None, None), tf.int32, "token_ids"),),
            (padded,),
        ),
        # For clients of a server that have no copy of the release.
        "class_names": export.Signature(
            class_names_at,
            (tf.TensorSpec((None,), tf.int32, "place"),),
            (np.arange(len(splits.class_names), dtype=np.int32),),
        ),
    }


def run(config: Config) -> dict[str, Any]:
    """Trains, compresses, measures and releases; returns the report."""
    export.check(config.export_dir)
    splits = load_data(config)
    tables = linear.fit(splits, config.num_pairs) if config.num_pairs else None
    more = self_training.teach(splits, tables if config.self_training else None)
    num_steps = pipelines.num_steps(more.train, config.batch_size)
    with fitting.scope(config):
        model = compile_model(build_model(config, splits), config, num_steps)
    plan = chain.plan(model, variants.parse(config.variants), config)
    if config.vectors:
        networks.start(
            model, vectors.of(splits, config.embedding_dim, config.seed)
        )
    num_classes, weights = len(splits.class_names), splits.class_weights
    transform = batches.for_training(num_classes, config.word_dropout, weights)
    monitor, mode = weighting.monitored(weights)
    splits.announce()
    teacher = load_teacher(config, splits, model)
    work_dir = config.run_dir(APP, splits.digest(), teacher and teacher.digest)
    log = fitting.fit(
        model, more, config,
        work_dir=work_dir, transform=transform, teacher=teacher,
        evaluation_transform=batches.for_evaluation(num_classes, weights),
        monitor=monitor,
        mode=mode,
    )  # fmt: skip
    cluster.end_unless_chief()
    joined = linear.join(model, tables, splits, evaluate) if tables else None
    twins = chain.compress(
        model, plan.variants,
        Finetuning(
            more.train, transform, config, soften=weighting.weighted(weights)
        ),
    )  # fmt: skip
    if weights is not None:
        weighting.leave_out(model)
    measured = {
        name: evaluate(model, getattr(splits, name))
        for name in ("valid", "test")
    }
    tokenizer = graph.GraphTokenizer(splits.tokenizer)
    return publishing.publish(
        APP, config, splits, model,
        subject=subject.of(config, splits),
        signatures=signatures(model, splits, tokenizer),
        tracked=[tokenizer],
        write_mobile=lambda directory: results.write_mobile(
            directory, twins, plan, splits, config, measured["test"]
        ),
        task_metric="accuracy",
        metrics=results.summarize(measured, splits),
        draw=lambda report: results.show(
            report, model, splits, measured["test"]
        ),
        baselines=results.compare(splits, joined),
        log=log, refused=plan.refused, work_dirs=[work_dir], teacher=teacher,
        ranks=chain.ranks(twins),
        sliced=results.by_slice(measured, splits.corpus, config.slice_by),
    )  # fmt: skip
