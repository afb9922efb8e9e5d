"""Recommender: from interactions to top-k lists on a server and on the phone.

Data: TFDS `movielens/*-ratings`, a table of your own (CSV, TSV, JSON lines,
Parquet), or the embedded, generated `tastes`. Model: --model. Result: a release
with a SavedModel, TFLite files and a report. NDCG@10 on MovieLens 100K:
.0927 (last film, three seeds), .4825 (random quarter, seed 0).

  python -m apps.recommender --flagfile=apps/flagfiles/NAME.flags
  python -m apps.recommender --dataset=mine.csv --user_column=customer
  python -m apps.recommender --mode=predict --inputs=alice,bob
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from etils import epy

from apps.recommender import interactions, protocols
from common import cluster, runtime, strict_json
from common import config as options
from common.compression import variants as names
from common.config import InputError, option

with epy.lazy_imports():
    import keras

    from apps.recommender import (
        baselines,
        data,
        examples,
        fitting,
        folding,
        linear,
        mobile,
        predict,
        ranking,
        results,
        serving,
    )
    from apps.recommender import model as networks
    from common import (
        compression,
        evaluation,
        export,
        report,
        served,
        tables,
        training,
    )

APP = "recommender"


@dataclasses.dataclass(frozen=True)
class Config(options.Options):
    """Options of this app."""

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
        choices=protocols.PROTOCOLS,
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
    patience: int = option(
        0, "epochs without improvement before an early stop; 0: none.",
        minimum=0,
    )  # fmt: skip
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

    def __post_init__(self) -> None:
        """Checks the options, and the variants' names before any work."""
        super().__post_init__()
        names.parse(self.variants)
        if not self.dataset and self.mode == "train":
            object.__setattr__(self, "dataset", "tastes")


def load_data(config: Config, known: Sequence[str] = ()) -> protocols.Protocol:
    """Reads, cleans and splits interactions.

    Args:
        config: The options.
        known: The items of a release that all users of the table judge.
    """
    k_core = config.k_core
    if tables.is_table(config.dataset):
        roles = ["user", "item", "time", "rating"]
        if not known:
            roles += ["title", "features"]
        elif "k_core" not in config.given:
            k_core = 0  # That of training: here it would leave users out.
        columns = {role: getattr(config, f"{role}_column") for role in roles}
        name, raw = config.dataset, data.read_table(config.dataset, **columns)
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
        return protocols.whole(clean, config.protocol, config.seed)
    return protocols.split(clean, config.protocol, config.seed)


def build_model(
    config: Config, protocol: protocols.Protocol
) -> "networks.Recommender":
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
    model: "networks.Recommender",
    config: Config,
    protocol: protocols.Protocol,
) -> "networks.Recommender":
    """Compiles `model` with AdamW; the loss is its own."""
    mode = examples.mode_of(config.model, config.protocol)
    windows = examples.training(protocol.train, mode, config.history)
    num_steps = -(-windows.num_examples // config.batch_size)
    optimizer = keras.optimizers.Adam(
        training.learning_rate(config, "cosine", 0.05, num_steps),
        weight_decay=config.weight_decay or None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer, steps_per_execution=min(16, num_steps), jit_compile=False
    )
    return model


def make_model(
    config: Config, protocol: protocols.Protocol
) -> "networks.Recommender":
    """Builds and compiles the network."""
    with training.scope(config):
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
    model: "networks.Recommender",
    wide: np.ndarray | None,
    with_user: bool = True,
) -> "keras.Model":
    """Returns stock layers from history, and user, to scores.

    Args:
        model: The network.
        wide: From `item_item`; slow for many items, so made once a fit.
        with_user: Whether there is an input for the user.
    """
    return folding.fold(model, with_user, wide)


def evaluate(model: "keras.Model", task: protocols.Task) -> np.ndarray:
    """Returns the lists of a folded model, `(users, 20) int32`."""
    return ranking.rank(ranking.Ranker(model), task)[0]


def signatures(
    model: "keras.Model", protocol: protocols.Protocol, k: int
) -> tuple[dict[str, "export.Signature"], "serving.Server"]:
    """Returns what a client may send, and what it needs: ids in, lists out."""
    server = serving.Server(model, protocol, k)
    return serving.signatures(server, protocol), server


def run(config: Config) -> dict[str, Any]:
    """Trains, compresses, measures and releases; returns the report."""
    export.check(config.export_dir)
    protocol = load_data(config)
    work_dir = config.run_dir(APP, protocol.digest())
    mode = examples.mode_of(config.model, config.protocol)
    # Before training, so that nobody trains for an hour to learn it.
    wide = item_item(config, protocol)
    plain = fold(build_model(config, protocol), wide, with_user=False)
    variants, refused = compression.plan(
        plain, names.parse(config.variants), config
    )
    model, log, valid = fitting.fit(
        make_model, protocol, config, work_dir, mode=mode,
        wide=wide, patience=config.patience,
        user_dropout=config.user_dropout, refit=config.refit,
    )  # fmt: skip
    cluster.end_unless_chief()
    fitted = protocol
    if config.refit:
        fitted = protocols.refitted(protocol)
        wide = item_item(config, fitted)
    scores = fold(model, wide)
    phone = fold(model, wide, with_user=False)
    twins = compression.compress(
        phone, variants, mobile.finetuning(fitted, mode, phone, config)
    )
    lists = {"valid": valid, "test": evaluate(scores, protocol.test)}
    with export.release(config.export_dir, APP) as draft:
        asked, server = signatures(scores, protocol, config.k)
        serving_report = export.save(
            draft.directory, scores, asked, tracked=[server]
        )
        rows = mobile.write(
            draft.directory / "mobile", twins, variants, protocol,
            config.history, config,
        )  # fmt: skip
        others, notes = results.compare(protocol, config.baselines, config.seed)
        result = report.build(
            APP, config, results.Described(protocol, notes),
            task_metric="ndcg@10",
            metrics=results.summarize(lists, protocol),
            log=log, variants=rows, refused=refused, serving=serving_report,
            baselines=others,
        )  # fmt: skip
        shown = results.draw(result, protocol, lists["test"])
        report.write(draft.directory / "report", result, shown)
    training.finish(work_dir, work_dir / "refit")
    report.print_table(result, draft.path)
    return result


def main(config: Config) -> None:
    """Does what `--mode` says."""
    cluster.start(config)
    if config.mode == "train":
        run(config)
        return
    asked = served.connect(config, APP)
    recommender = predict.Recommender(asked)
    trained = evaluation.trained_with(asked)
    whole = evaluation.is_whole(config, trained)
    config = options.as_trained(config, trained)
    if config.mode == "predict":
        predict.predict_users(recommender, config)
        return
    predict.check_dataset(config.dataset, trained)
    known = recommender.item_ids() if whole else ()
    result = predict.evaluate(recommender, load_data(config, known))
    runtime.console().print(strict_json.dumps(result))


if __name__ == "__main__":
    options.launch(main, Config)
