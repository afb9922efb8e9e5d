"""The steps of compression: wrap, fine-tune, strip, verify.

Variants that begin with the same techniques share those steps.
"""

import functools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import tf_keras

from common import console, runtime
from common.keras2 import bridge
from common.keras2.registry import UnsupportedLayerError
from common.keras2.weights import copy_weights, mend
from common.options import InputError
from common.shared_options import Options
from common.training import trials
from common.variants import (
    FIRST_HALF,
    Plan,
    Techniques,
    Variant,
    is_named,
    prefixes,
)

from . import (
    clustering,
    formats,
    low_rank,
    output_spaces,
    patterns,
    verification,
    wrappers,
)
from .finetuning import Finetuner, Finetuning

# The only technique that changes the model's layers; it is always the first.
LOW_RANK: Techniques = ("lowrank",)


def plan(
    model: keras.Model,
    variants: Iterable[Variant],
    options: Options | None = None,
) -> Plan:
    """Separates the variants that `model` can take from those it cannot.

    It tries TF-MOT's wrappers on layers of a twin, so that nobody trains for an
    hour before a layer is refused. For 50 convolutions this takes seconds.

    Args:
        model: A Keras 3 model.
        variants: The variants of `--variants`.
        options: The compression options; by default `Options()`.

    Raises:
        InputError: If an option does not fit the model, such as
            `--prune_layers`, or if a trial of a search wants a file that cannot
            be made.
    """
    variants, options = list(variants), options or Options()
    reasons = _refusals(
        model, prefixes(variant.techniques for variant in variants), options
    )
    possible, refused = [], []
    for variant in variants:
        reason = next(
            (
                f"{reasons[prefix]} Nearest: {_nearest(variant, reasons)}."
                for prefix in prefixes([variant.techniques])
                if prefix in reasons
            ),
            # The nearest format is named beside techniques that are possible.
            formats.refusal(model, variant),
        )
        if reason:
            refused.append({"name": variant.name, "reason": reason})
        else:
            possible.append(variant)
    if refused and trials.current():  # Its file is what the trial is for.
        raise InputError(
            "--variant must be a file that the application can make; received "
            f"{refused[0]['name']}: {refused[0]['reason']}"
        )
    return Plan(possible, refused)


def _refusals(
    model: keras.Model, steps: Iterable[Techniques], options: Options
) -> dict[Techniques, str]:
    """Returns why a model cannot take the last of some techniques.

    Args:
        model: A Keras 3 model.
        steps: The sequences of techniques.
        options: The compression options.

    Raises:
        InputError: If an option does not fit the model.
    """
    attempts = _Attempts(model, options)
    reasons = {techniques: attempts.refusal(techniques) for techniques in steps}
    return {
        techniques: reason for techniques, reason in reasons.items() if reason
    }


class _Attempts:
    """Attempts at techniques on the twin of a model, without training.

    Each technique is tried once for all variants, since what came before
    hardly matters, and on a small part of the twin; see `patterns`.
    """

    def __init__(self, model: keras.Model, options: Options) -> None:
        self._model = model
        self._options = options
        self._twin = functools.cache(self._make_twin)
        self._tried = functools.cache(self._try)
        self._kind = functools.cache(self._kind_of)

    def refusal(self, techniques: Techniques) -> str:
        """Returns why the model cannot take the last of `techniques`, or "".

        Raises:
            InputError: If an option does not fit the model.
        """
        low_rank_first = techniques[:1] == LOW_RANK
        last = techniques[-1:]
        if last == ("cluster",) and "prune" in techniques:
            last = ("prune", "cluster")
        return self._tried(low_rank_first, last) or self._refusal(
            lambda: wrappers.refuse(
                self._twin(low_rank_first), techniques, self._options
            )
        )

    def _try(self, low_rank_first: bool, techniques: Techniques) -> str:
        """Returns why the last of `techniques` fails, or ""."""
        return self._refusal(lambda: self._wrap(low_rank_first, techniques))

    def _refusal(self, attempt: Callable[[], None]) -> str:
        """Returns the message of the error that an attempt raises, or ""."""
        try:
            attempt()
        except (ValueError, RuntimeError) as error:
            unsupported = isinstance(error, UnsupportedLayerError)
            if isinstance(error, InputError) and not unsupported:
                raise
            return " ".join(str(error).split())
        return ""

    def _make_twin(self, low_rank_first: bool) -> tf_keras.Model:
        """Returns the twin of the model, or of its outline of low rank."""
        if low_rank_first:
            return _copy(low_rank.outline(self._model, self._options))
        return _copy(self._model)

    def _wrap(self, low_rank_first: bool, techniques: Techniques) -> None:
        """Wraps one layer of each pattern for the last of `techniques`."""
        twin = self._twin(low_rank_first)
        wrappers.refuse(twin, techniques, self._options)
        part = patterns.examples(twin, self._kind)
        if techniques == ("prune", "cluster"):
            wrappers.thin(part, self._options.sparsity)
        # As few clusters as there can be, since they take time to compute.
        options = self._options.replace(num_clusters=clustering.MIN_CLUSTERS)
        wrappers.put_on(part, techniques, 10, options)

    def _kind_of(self, layer: tf_keras.layers.Layer) -> Any:
        """Returns what `wrappers` tells layers apart by."""
        sparsities = (0.0, self._options.sparsity)
        return is_named(layer.name, self._options.prune_layers), [
            clustering.clusters_of(layer, clustering.MIN_CLUSTERS, sparsity)
            for sparsity in sparsities
        ]


def _nearest(variant: Variant, reasons: dict[Techniques, str]) -> str:
    """Returns the possible variant that shares most steps with a refused one.

    Args:
        variant: The refused variant.
        reasons: The techniques that the model cannot take.
    """
    kept = variant.techniques
    while kept and any(prefix in reasons for prefix in prefixes([kept])):
        kept = kept[:-1]
    return "+".join((*kept, "int8"))


def compress(
    model: keras.Model, variants: Iterable[Variant], finetuning: Finetuning
) -> dict[Techniques, tf_keras.Model]:
    """Returns the twins that `variants` are converted from.

    Steps that several variants share are done once.

    Args:
        model: A trained, compiled Keras 3 model; it is not changed.
        variants: The variants that `plan` returned as possible.
        finetuning: The data and the options.

    Returns:
        The twin after each sequence of techniques; that of `()` is not
        compressed.

    Raises:
        InputError: If fine-tuning diverges.
    """
    twins: dict[Techniques, tf_keras.Model] = {(): bridge.to_tf_keras(model)}
    steps = prefixes(variant.techniques for variant in variants)
    if not steps:
        return twins
    finetuner = Finetuner(model, twins[()], finetuning)
    factorized = model
    if LOW_RANK in steps:
        factorized = _factorize(model, finetuner, finetuning.options)
        twins[LOW_RANK] = bridge.to_tf_keras(factorized)
    for techniques in steps:
        twins[techniques] = _step(
            factorized if techniques[:1] == LOW_RANK else model,
            twins[techniques if techniques == LOW_RANK else techniques[:-1]],
            techniques,
            finetuner,
            finetuning.options,
        )
    return twins


def ranks(twins: Mapping[Techniques, tf_keras.Model]) -> dict[str, int]:
    """Returns the ranks of the layers that `lowrank` replaced, by their names.

    Args:
        twins: What `compress` returned.
    """
    layers = twins[LOW_RANK].layers if LOW_RANK in twins else []
    names = {layer.name for layer in layers}
    return {
        name: int(layer.weights[0].shape[-1])
        for layer in layers
        if (name := layer.name.removesuffix(FIRST_HALF)) != layer.name
        and name in names
    }


def _factorize(
    model: keras.Model, finetuner: Finetuner, options: Options
) -> keras.Model:
    """Returns the model with layers of low rank, and prints their ranks."""
    spaces = output_spaces.measure(
        model, low_rank.layers(model), finetuner.batches()
    )
    ranks = low_rank.choose_ranks(model, spaces, options)
    for name, rank in ranks.items():
        before = len(spaces[name].mean)
        console.get().print(f"{name}: rank {rank}; it has {before} outputs")
    return low_rank.factorize(model, ranks, spaces)


def _step(
    model: keras.Model,
    base: tf_keras.Model,
    techniques: Techniques,
    finetuner: Finetuner,
    options: Options,
) -> tf_keras.Model:
    """Returns a copy of `base` with the last of `techniques`, fine-tuned."""
    start = time.monotonic()
    terminal = console.get()
    runtime.set_seed(options.seed)
    tf_keras.utils.set_random_seed(options.seed)
    twin = _copy(model, base)
    wrapped = wrappers.wrap(twin, techniques, finetuner.num_steps, options)
    with terminal.status(f"{'+'.join(techniques)}: fine-tuning"):
        loss = finetuner.train(wrapped)
    if not math.isfinite(loss):
        raise InputError(
            f"fine-tuning after {'+'.join(techniques)} diverged: the loss is "
            "not finite. Lower --finetune_learning_rate; received "
            f"{options.finetune_learning_rate:.2g}."
        )
    stripped = wrappers.strip(wrapped, techniques[-1])
    if techniques[-1] != "qat":
        mend(stripped, model)
    verification.verify(stripped, base, techniques, options)
    terminal.print(
        f"{'+'.join(techniques):<18} {options.finetune_epochs} epochs "
        f"{time.monotonic() - start:6.1f} s  loss {loss:.4f}"
    )
    return stripped


def _copy(
    model: keras.Model, base: tf_keras.Model | None = None
) -> tf_keras.Model:
    """Returns a new twin of `model`, with the weights of `base` if given."""
    twin = bridge.to_tf_keras(model, check=False)
    if base is not None:
        copy_weights(base, twin, model)
    return twin
