"""The plots of a study, from the numbers of its trials."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker
from optuna.trial import FrozenTrial, TrialState

from common.report.plots import BLUE, GREY, ORANGE, Plot, new_figure, style

from . import space


def history(trials: Sequence[FrozenTrial], best: FrozenTrial) -> Plot:
    """Plots the value of each trial, and the best so far.

    Args:
        trials: All trials by number; those without a value get a mark below.
        best: The best trial.
    """
    figure = new_figure()
    axes = figure.subplots()
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    numbers = np.array([t.number + 1 for t in complete])
    values = np.array([t.user_attrs["value"] for t in complete])
    objective = np.maximum.accumulate([t.values[0] for t in complete])
    sign = 1 if best.values[0] == best.user_attrs["value"] else -1
    axes.step(
        numbers, sign * objective, c=GREY, where="post", label="best so far"
    )
    axes.scatter(numbers, values, c=BLUE, s=22, zorder=3, label="complete")
    axes.scatter(
        [best.number + 1], [best.user_attrs["value"]], c=ORANGE, s=40,
        zorder=4, label="best",
    )  # fmt: skip
    low = values.min() - 0.06 * (np.ptp(values) or 1e-3)
    for state, marker, label in (
        (TrialState.PRUNED, "|", "stopped early"),
        (TrialState.FAIL, "x", "failed"),
    ):
        at = [t.number + 1 for t in trials if t.state == state]
        if at:
            axes.scatter(
                at, np.full(len(at), low), c=GREY, marker=marker, label=label
            )
    axes.set(xlabel="trial", ylabel=f"valid {best.user_attrs['metric']}")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    style(axes)
    return Plot(
        "history",
        "History",
        "The value of each trial on validation. Trial 1 has the settings that "
        "the search started from, where the space holds them. Trials that were "
        "stopped early or failed are marked at the bottom.",
        figure,
    )


def coordinates(
    trials: Sequence[FrozenTrial], parameters: space.Space, best: FrozenTrial
) -> Plot:
    """Plots each complete trial as a line over its values.

    Args:
        trials: All trials.
        parameters: The options that are searched.
        best: The best trial, whose line is orange.
    """
    figure = new_figure(max(8.0, 1.15 * len(parameters) + 1.5), 4.2)
    axes = figure.subplots()
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    values = np.array([t.values[0] for t in complete])
    ranks = np.argsort(np.argsort(values)) / max(len(values) - 1, 1)
    for trial, rank in sorted(zip(complete, ranks, strict=True), key=_rank):
        is_best = trial.number == best.number
        axes.plot(
            [_height(p, trial.params[p.name]) for p in parameters],
            c=ORANGE if is_best else BLUE,
            lw=2.2 if is_best else 1.0,
            alpha=1.0 if is_best else 0.08 + 0.6 * rank,
            zorder=3 if is_best else 2,
        )
    for place, parameter in enumerate(parameters):
        axes.axvline(place, c=GREY, lw=0.6)
        for height, text in _ticks(parameter):
            axes.text(
                place + 0.03, height, text, fontsize=7, va="center",
                parse_math=False,
            )  # fmt: skip
    axes.set_xticks(
        range(len(parameters)), [p.name for p in parameters], fontsize=8,
        rotation=20, parse_math=False,
    )  # fmt: skip
    axes.set_yticks([])
    axes.set(ylim=(-0.04, 1.04), xlim=(-0.1, len(parameters) - 0.6))
    axes.spines[:].set_visible(False)
    return Plot(
        "coordinates",
        "Parallel coordinates",
        "A line is a complete trial, from value to value; the darker, the "
        "better. Orange is the best.",
        figure,
    )


def _rank(pair: tuple[FrozenTrial, float]) -> float:
    """Returns the rank of a trial, so that better lines are drawn later."""
    return pair[1]


def _height(parameter: space.Parameter, drawn: object) -> float:
    """Returns where a value is on its axis, from 0 to 1."""
    if isinstance(parameter, space.Choices):
        texts = list(parameter.values)
        return texts.index(str(drawn)) / (len(texts) - 1)
    ends = np.array([parameter.low, parameter.high, drawn], float)
    low, high, value = np.log(ends) if parameter.log else ends
    return float((value - low) / (high - low))


def _ticks(parameter: space.Parameter) -> list[tuple[float, str]]:
    """Returns the heights and the texts of an axis's marks."""
    if isinstance(parameter, space.Choices):
        return [(_height(parameter, t), t) for t in parameter.values]
    ends = (parameter.low, parameter.high)
    return [(_height(parameter, end), f"{end:g}") for end in ends]


def importances(shares: Mapping[str, float]) -> Plot:
    """Plots how much of the values' variance each option explains.

    Args:
        shares: The share of each option, from 0 to 1, by name.
    """
    figure = new_figure(8.0, 0.9 + 0.32 * len(shares))
    axes = figure.subplots()
    names = sorted(shares, key=shares.__getitem__)
    axes.barh(range(len(names)), [shares[name] for name in names], color=BLUE)
    axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    axes.set(xlabel="share of the variance")
    style(axes, "x")
    return Plot(
        "importances",
        "Importance of the options",
        "The share of the values' variance that each option explains (fANOVA: "
        "Hutter, Hoos and Leyton-Brown, 2014), over the complete trials; with "
        "few trials it is a guess.",
        figure,
    )


def front(
    trials: Sequence[FrozenTrial],
    on_front: Sequence[FrozenTrial],
    best: FrozenTrial,
    variant: str,
) -> Plot:
    """Plots the metric against the size of the file, and the Pareto front.

    Args:
        trials: All trials.
        on_front: The trials that no other surpasses.
        best: The trial whose settings are written.
        variant: The name of the file.
    """
    figure = new_figure(8.0, 4.2)
    axes = figure.subplots()
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    ordered = sorted(on_front, key=lambda t: t.values[1])
    for chosen, colour, area, label in (
        (complete, GREY, 18, "complete"),
        (ordered, BLUE, 26, "Pareto front"),
        ([best], ORANGE, 48, "best.flags"),
    ):
        sizes = [t.values[1] / 1000 for t in chosen]
        values = [t.user_attrs["value"] for t in chosen]
        axes.scatter(sizes, values, area, colour, label=label, zorder=3)
        if chosen is ordered:
            axes.plot(sizes, values, c=BLUE, lw=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(ticker.FormatStrFormatter("%g"))
    axes.tick_params(axis="x", which="minor", labelsize=7)
    axes.set(
        xlabel=f"{variant}, gzip size, kB (log scale)",
        ylabel=f"valid {best.user_attrs['metric']}",
    )
    axes.legend(frameon=False, fontsize=8)
    style(axes)
    return Plot(
        "front",
        "Size against quality",
        "The file of each complete trial. No other trial is both better and "
        "smaller than those on the Pareto front.",
        figure,
    )
