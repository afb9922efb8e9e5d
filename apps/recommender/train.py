"""The story of the recommender, from data to a release."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from common import variants
from common.compression import chain
from common.data import tables
from common.options import InputError
from common.release import export, publishing
from common.training import fitting
from common.workers import cluster

from . import (
    baselines,
    data,
    examples,
    folding,
    histories,
    interactions,
    linear,
    mobile,
    protocol_fit,
    protocols,
    ranking,
    results,
    serving,
    subject,
)
from . import model as networks
from .config import APP, Config


def load_data(config: Config, known: Sequence[str] = ()) -> protocols.Protocol:
    """Reads, cleans and splits interactions.

    Args:
        config: The options.
        known: The ids of a release's items, if all users of the table are to
            judge that release; () to load data for training.
    """
    k_core = config.k_core
    if tables.is_table(config.dataset):
        roles = ["user", "item", "time", "rating"]
        if not known:
            roles += ["title", "features"]
        elif "k_core" not in config.given:
            k_core = 0  # Training's value would leave users out here.
        columns = {role: getattr(config, f"{role}_column") for role in roles}
        name = config.dataset
        raw = data.read_table(name, **columns, table_format=config.table_format)
    else:
        name, raw = data.read_tfds(config.dataset, config.data_dir)
    clean = interactions.clean(
        name, raw,
        min_rating=config.min_rating,
        k_core=k_core,
        skip_bad=config.on_bad_input == "skip",
    )  # fmt: skip
    if known:
        clean = interactions.numbered_as(clean, known)
        return protocols.for_evaluation(clean, config.protocol, config.seed)
    return protocols.split(clean, config.protocol, config.seed)


def build_model(
    config: Config, protocol: protocols.Protocol
) -> networks.Recommender:
    """Builds the network for the users and items of `protocol`."""
    catalogue = protocol.data.catalogue
    small = len(catalogue) <= networks.DENSE_ITEMS
    known = config.user_dropout < 1.0
    counts = np.bincount(protocol.train.values, minlength=len(catalogue) + 1)
    return networks.Recommender(
        networks.Settings(
            model=config.model,
            num_users=len(protocol.train) if known else 0,
            length=config.history,
            dim=config.dim,
            blocks=config.blocks,
            dropout=config.dropout,
            full_softmax=config.softmax == "full"
            or (config.softmax == "auto" and small),
        ),
        catalogue,
        counts,
    )


def compile_model(
    model: networks.Recommender,
    config: Config,
    protocol: protocols.Protocol,
) -> networks.Recommender:
    """Compiles `model` with AdamW; the loss is its own."""
    mode = examples.mode_of(config.model, config.protocol)
    windows = examples.training(protocol.train, mode, config.history)
    num_steps = -(-windows.num_examples // config.batch_size)
    optimizer = keras.optimizers.Adam(
        fitting.learning_rate(config, "cosine", 0.05, num_steps),
        weight_decay=config.weight_decay or None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer, steps_per_execution=min(16, num_steps), jit_compile=False
    )
    return model


def make_model(
    config: Config, protocol: protocols.Protocol
) -> networks.Recommender:
    """Builds and compiles the network."""
    with fitting.scope(config):
        return compile_model(build_model(config, protocol), config, protocol)


def item_item(
    config: Config, protocol: protocols.Protocol
) -> np.ndarray | None:
    """Returns the item-item matrix that is added to the network, if any."""
    if not config.wide:
        return None
    num_items = len(protocol.data.catalogue)
    if num_items > baselines.MAX_ITEMS:
        raise InputError(
            f"--wide must be 0 for more than {baselines.MAX_ITEMS:,} items; "
            f"received {config.wide} and {num_items:,} items."
        )
    return config.wide * linear.item_item(
        protocol.train, num_items, config.wide_penalty, config.wide_rank
    )


def fold(
    model: networks.Recommender,
    wide: np.ndarray | None,
    with_user: bool = True,
) -> keras.Model:
    """Returns a model of stock layers from history, and user, to scores.

    Args:
        model: The network.
        wide: The matrix of `item_item`, made once because it is slow.
        with_user: Whether there is an input for the user.
    """
    return folding.fold(model, with_user, wide)


def evaluate(model: keras.Model, task: protocols.Task) -> np.ndarray:
    """Returns the lists of a folded model, `(users, 20) int32`."""
    return ranking.rank(ranking.Ranker(model), task)[0]


def signatures(
    model: keras.Model, protocol: protocols.Protocol, k: int
) -> tuple[dict[str, export.Signature], serving.Server]:
    """Returns the signatures, from ids to lists, and the server behind them."""
    server = serving.Server(model, protocol, k)
    return serving.signatures(server, protocol), server


def run(config: Config) -> dict[str, Any]:
    """Trains, compresses, measures and releases; returns the report."""
    export.check(config.export_dir)
    protocol = load_data(config)
    work_dir = config.run_dir(APP, protocol.digest())
    mode = examples.mode_of(config.model, config.protocol)
    # Before training, so that a refused option does not cost an hour of it.
    wide = item_item(config, protocol)
    plain = fold(build_model(config, protocol), wide, with_user=False)
    plan = chain.plan(plain, variants.parse(config.variants), config)
    protocol.announce()
    model, log, valid = protocol_fit.fit(
        make_model, protocol, config, work_dir, mode=mode,
        wide=wide, user_dropout=config.user_dropout, refit=config.refit,
    )  # fmt: skip
    cluster.end_unless_chief()
    fitted = protocol
    if config.refit:
        fitted = protocols.refitted(protocol)
        wide = item_item(config, fitted)
    scores = fold(model, wide)
    phone = fold(model, wide, with_user=False)
    twins = chain.compress(
        phone, plan.variants, mobile.finetuning(fitted, mode, phone, config)
    )
    lists = {"valid": valid, "test": evaluate(scores, protocol.test)}
    inputs, server = signatures(scores, protocol, config.k)
    others, notes = results.compare(protocol, config.baselines, config.seed)
    return publishing.publish(
        APP, config, results.Described(protocol, notes), scores,
        subject=subject.of(config, protocol),
        signatures=inputs,
        tracked=[server],
        write_more=lambda directory: histories.write(directory, protocol.data),
        write_mobile=lambda directory: mobile.write(
            directory, twins, plan, protocol, config.history, config
        ),
        task_metric="ndcg@10",
        metrics=results.summarize(lists, protocol),
        draw=lambda report: results.draw(report, protocol, lists["test"]),
        log=log, refused=plan.refused, baselines=others,
        ranks=chain.ranks(twins),
        work_dirs=[work_dir, work_dir / "refit"],
    )  # fmt: skip
