"""Sampling: the values of a trial depend on seeds and earlier trials alone."""

import hashlib
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution

from . import space
from .config import Config


def suggest(trial: optuna.Trial, parameter: space.Parameter) -> None:
    """Draws the value of a parameter, unless the trial has one."""
    name = parameter.name
    if isinstance(parameter, space.Choices):
        trial.suggest_categorical(name, list(parameter.values))
    elif isinstance(parameter.low, int) and isinstance(parameter.high, int):
        trial.suggest_int(
            name, parameter.low, parameter.high, log=parameter.log
        )
    else:
        trial.suggest_float(
            name, parameter.low, parameter.high, log=parameter.log
        )


class Sampler(optuna.samplers.BaseSampler):
    """Gives every trial a random generator of its own.

    Optuna's samplers draw from one stream, which begins anew in a process that
    continues a study: the first trials would be repeated. Here the seed comes
    from the study's seed and the trial's number, so that a study that was
    interrupted draws the values of one that was not. Trial 0 has the values of
    the base options where the space holds them.
    """

    def __init__(self, kind: str, seed: int, first: Mapping[str, Any]) -> None:
        """Stores how to draw.

        Args:
            kind: See `Config.sampler`.
            seed: The study's seed.
            first: The values of trial 0; a parameter that is missing is drawn.
        """
        self._kind, self._seed, self._first = kind, seed, first

    def _of(
        self, trial: optuna.trial.FrozenTrial, name: str = ""
    ) -> optuna.samplers.BaseSampler:
        """Returns the sampler of a trial, or of one value of it."""
        text = f"{self._seed}/{trial.number}/{name}"
        digest = hashlib.sha256(text.encode()).digest()
        seed = int.from_bytes(digest[:4])
        if self._kind == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.TPESampler(seed=seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Returns the parameters that are drawn together."""
        if not trial.number:
            return {}
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Draws the parameters of `search_space` together."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draws a parameter by itself."""
        if not trial.number and param_name in self._first:
            return self._first[param_name]
        return self._of(trial, param_name).sample_independent(
            study, trial, param_name, param_distribution
        )


def pruner(config: Config, epochs: int) -> optuna.pruners.BasePruner:
    """Returns what stops poor trials early.

    Args:
        config: The options.
        epochs: The number of epochs of a trial.
    """
    if config.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=max(1, epochs // 9), max_resource=epochs
        )
    if config.pruner == "median":
        # In the first tenth a high learning rate has not fallen yet.
        return optuna.pruners.MedianPruner(
            n_startup_trials=4, n_warmup_steps=max(1, epochs // 10)
        )
    return optuna.pruners.NopPruner()
