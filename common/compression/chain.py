"""The steps: wrap, fine-tune, strip, verify, each shared by its variants."""

import math
import time
from collections.abc import Iterable

import keras
import tf_keras

from common import console, runtime
from common.keras2 import bridge
from common.keras2.registry import UnsupportedLayerError
from common.keras2.weights import copy_weights, mend
from common.options import InputError
from common.shared_options import Options
from common.variants import Techniques, Variant, prefixes

from . import verification, wrappers
from .finetuning import Finetuner, Finetuning


def plan(
    model: keras.Model,
    variants: Iterable[Variant],
    options: Options | None = None,
) -> tuple[list[Variant], list[dict[str, str]]]:
    """Separates the variants that `model` can take from those it can't.

    Tries TF-MOT's wrappers on a twin, which takes seconds, so that nobody
    trains for an hour to learn it.

    Args:
        model: A Keras 3 model.
        variants: What is wanted.
        options: The compression options; by default `Options()`.

    Returns:
        The possible variants, and `{"name", "reason"}` of the others.
    """
    wanted, options = list(variants), options or Options()
    reasons: dict[Techniques, str] = {}
    for techniques in prefixes(one.techniques for one in wanted):
        try:
            twin, last = _copy(model), techniques[-1:]
            if "cluster" in last and "prune" in techniques:
                wrappers.thin(twin, options.sparsity)
                last = techniques
            wrappers.wrap(twin, last, 10, options)
        except (ValueError, RuntimeError) as error:
            unable = isinstance(error, UnsupportedLayerError)
            if isinstance(error, InputError) and not unable:
                raise
            reasons[techniques] = " ".join(str(error).split())
    possible, refused = [], []
    for one in wanted:
        reason = next(
            (
                reasons[prefix]
                for prefix in prefixes([one.techniques])
                if prefix in reasons
            ),
            None,
        )
        if reason is None:
            possible.append(one)
            continue
        nearest = _nearest(one, reasons)
        refused.append(
            {"name": one.name, "reason": f"{reason} Nearest: {nearest}."}
        )
    return possible, refused


def _nearest(variant: Variant, reasons: dict[Techniques, str]) -> str:
    """Returns the name of the variant with the most of the same steps."""
    kept = variant.techniques
    while kept and any(one in reasons for one in prefixes([kept])):
        kept = kept[:-1]
    return "+".join((*kept, "int8"))


def compress(
    model: keras.Model, variants: Iterable[Variant], finetuning: Finetuning
) -> dict[Techniques, tf_keras.Model]:
    """Makes the twins behind `variants`; shared steps are done once.

    Args:
        model: A trained, compiled Keras 3 model; it is not changed.
        variants: What `plan` found possible.
        finetuning: The data and the options.

    Returns:
        The twin after each sequence of techniques; `()` is the plain twin.
    """
    twins: dict[Techniques, tf_keras.Model] = {(): bridge.to_tf_keras(model)}
    steps = prefixes(one.techniques for one in variants)
    if not steps:
        return twins
    finetuner = Finetuner(model, twins[()], finetuning)
    for techniques in steps:
        twins[techniques] = _step(
            model,
            twins[techniques[:-1]],
            techniques,
            finetuner,
            finetuning.options,
        )
    return twins


def _step(
    model: keras.Model,
    base: tf_keras.Model,
    techniques: Techniques,
    finetuner: Finetuner,
    options: Options,
) -> tf_keras.Model:
    """Does the last of `techniques` to a copy of `base` and fine-tunes it."""
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
    """Returns a new twin, with the weights of `base` if there is one."""
    twin = bridge.to_tf_keras(model, check=False)
    if base is not None:
        copy_weights(base, twin, model)
    return twin
