"""Studies: which trials run, in which order, and what is written of them."""

import functools
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import optuna
import pytest
import tuned_app
from optuna.trial import FrozenTrial, TrialState

from apps.tune import application, plots, results, search, study, trial
from apps.tune.config import Config
from common import console
from common.options import InputError

PLOTS, STORAGE = results._plots, study._storage


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def train(tmp_path, monkeypatch) -> Iterator[ModuleType]:
    """Gives the module `toy.train`; the test runs in a folder of its own."""
    tuned_app.write(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    # They take most of the time, and a formula leaves no memory to free.
    monkeypatch.setattr(trial, "_free_memory", lambda: None)
    monkeypatch.setattr(results, "_plots", lambda *arguments: [])
    # A database on a disk takes most of the rest.
    in_memory = functools.cache(lambda url: optuna.storages.InMemoryStorage())
    monkeypatch.setattr(study, "_storage", in_memory)
    yield importlib.import_module("toy.train")
    for name in [n for n in sys.modules if n.partition(".")[0] == "toy"]:
        del sys.modules[name]


def options(*words: str, **changes) -> Config:
    command = ("toy", "--epochs=4", *words)
    return Config(**{"trials": 14, "command": command, **changes})


def tune(config: Config) -> study.Study:
    """Runs a search as `main` does; returns its study."""
    app = application.load(config)
    search.run(config, app)
    return study.Study(config, app)


def drawn(the_study: study.Study) -> list[dict]:
    return [done.params for done in the_study.trials()]


def states(the_study: study.Study) -> list[TrialState]:
    return [done.state for done in the_study.trials()]


def test_the_first_trial_has_the_base_options_and_others_differ(train) -> None:
    done = tune(options("--units=33", "--kind=b"))
    first, *others = drawn(done)
    assert first == {"learning_rate": 1e-3, "units": 33, "kind": "b"}
    assert len({json.dumps(values) for values in others}) == 13
    for config in train.runs:
        assert 8 <= config.units <= 64 and config.variants == ("float32",)
        assert config.work_dir == config.export_dir
    assert len({config.work_dir for config in train.runs}) == 14
    assert not any((done.directory / "trials").iterdir())


def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(
    train,
) -> None:
    whole = tune(options(work_dir="whole"))
    train.runs.clear()
    expected = drawn(whole), states(whole)
    for number, epoch in [(0, 0), (5, 1), (11, 0), (12, 1)]:
        train.stop = stop_at(number, epoch, train)
        with pytest.raises(Killed):
            tune(options(work_dir="killed"))
        train.runs.clear()
    train.stop = None
    again = tune(options(work_dir="killed"))
    assert (drawn(again), states(again)) == expected
    # The interrupted trial came first, in its own directory.
    assert train.runs[0].work_dir.endswith("/12") and len(train.runs) == 2


def stop_at(
    number: int, epoch: int, train: ModuleType
) -> Callable[[int, int], None]:
    """Returns what kills the process in an epoch of a trial."""

    def stop(run: int, at: int) -> None:
        trial_number = int(Path(train.runs[run].work_dir).name)
        if (trial_number, at) == (number, epoch):
            raise Killed

    return stop


def test_finished_trials_are_kept_when_more_are_wanted(
    train, monkeypatch
) -> None:
    monkeypatch.setattr(study, "_storage", STORAGE)
    few = drawn(tune(options(trials=3)))
    train.runs.clear()
    more = drawn(tune(options(trials=5)))
    assert more[:3] == few and len(more) == 5 and len(train.runs) == 2
    other = tune(options("--units=9", trials=1))
    assert len(drawn(other)) == 1  # Other options make another study.


def test_no_two_processes_run_one_trial() -> None:
    config = options(trials=3)
    app = application.load(config)
    first, second = study.Study(config, app), study.Study(config, app)
    with first.claimed(ask=True) as one, second.claimed(ask=True) as other:
        assert (one.number, other.number) == (0, 1)
        with first.claimed(ask=True) as third:
            assert third.number == 2
            with second.claimed(ask=True) as none:
                assert none is None
        with second.claimed(ask=False) as left:  # It was interrupted.
            assert left.number == 2
    with first.claimed(ask=True) as again:
        assert again.number == 0


def test_a_trial_that_ends_while_another_process_looks_is_not_run(
    monkeypatch,
) -> None:
    config = options(trials=1)
    app = application.load(config)
    first, second = study.Study(config, app), study.Study(config, app)
    with first.claimed(ask=True) as claimed:
        pass
    looked = second.trials()  # The trial still runs.
    monkeypatch.setattr(second, "trials", lambda: looked)
    first.base.tell(claimed, 0.5)
    with second.claimed(ask=False) as left:
        assert left is None


def test_a_trial_of_another_machine_is_left_to_it(monkeypatch) -> None:
    config = options(trials=2)
    app = application.load(config)
    monkeypatch.setattr(study.socket, "gethostname", lambda: "far")
    with study.Study(config, app).claimed(ask=True):
        pass
    monkeypatch.setattr(study.socket, "gethostname", lambda: "near")
    with study.Study(config, app).claimed(ask=True) as mine:
        assert mine.number == 1


def test_a_trial_that_fails_is_recorded_and_the_search_goes_on(
    train, capsys
) -> None:
    def stop(run: int, epoch: int) -> None:
        if run == 1:
            raise MemoryError("no room\nleft")

    train.stop = stop
    done = tune(options(trials=4))
    assert states(done).count(TrialState.FAIL) == 1
    error = done.trials()[1].user_attrs["error"]
    assert error == "MemoryError: no room left"
    assert "failed: MemoryError: no room left" in capsys.readouterr().out
    kept = (done.directory / "failed" / "2.txt").read_text()
    assert "Traceback" in kept and "in stop" in kept


def test_values_that_break_a_rule_together_fail(train) -> None:
    done = tune(options(search="units=77|78, kind=a|b", trials=12))
    failed = [t for t in done.trials() if t.state == TrialState.FAIL]
    assert failed and all(t.params["units"] == "77" for t in failed)
    assert failed[0].user_attrs["error"].startswith("--units must not be 77")
    assert len(train.runs) == 3  # None of the four combinations ran twice.
    equal = [t for t in done.trials() if "same_as" in t.user_attrs]
    assert len(equal) == 12 - 4


def test_a_search_whose_first_trials_all_fail_ends(train) -> None:
    def stop(run: int, epoch: int) -> None:
        raise InputError("--dataset must be there; it is not.")

    train.stop = stop
    with pytest.raises(InputError, match="3 trials failed; the last: --data"):
        tune(options())
    assert len(train.runs) == 3


def test_a_trial_that_kills_the_process_each_time_is_given_up(train) -> None:
    def stop(run: int, epoch: int) -> None:
        if train.runs[-1].work_dir.endswith("/1"):
            raise Killed

    train.stop = stop
    for _ in range(study.MOST_STARTS):
        with pytest.raises(Killed):
            tune(options(trials=3))
    done = tune(options(trials=3))
    assert states(done)[1] == TrialState.FAIL
    assert "killed 4 times" in done.trials()[1].user_attrs["error"]


def test_a_trial_that_the_user_stops_is_never_given_up(train) -> None:
    def stop(run: int, epoch: int) -> None:
        raise SystemExit(143)

    train.stop = stop
    for _ in range(study.MOST_STARTS + 1):
        with pytest.raises(SystemExit):
            tune(options(trials=2))
    train.stop = None
    assert states(tune(options(trials=2))) == [TrialState.COMPLETE] * 2


def test_a_finished_epoch_ends_the_count_of_kills(train) -> None:
    kills = study.MOST_STARTS - 1
    stops = [(0, Killed)] * kills + [(1, SystemExit)] + [(0, Killed)] * kills
    for last, error in stops:

        def stop(run: int, epoch: int, last: int = last, error=error) -> None:
            if epoch == last:
                raise error

        train.stop = stop
        with pytest.raises(error):
            tune(options(trials=1))
    train.stop = None
    assert states(tune(options(trials=1))) == [TrialState.COMPLETE]


@pytest.mark.parametrize("kind", ["median", "hyperband"])
def test_poor_trials_are_stopped_early(train, kind) -> None:
    full = tune(options("--epochs=20", pruner="none", trials=24))
    pruned = tune(options("--epochs=20", pruner=kind, trials=24))
    assert states(full) == [TrialState.COMPLETE] * 24
    assert states(pruned).count(TrialState.PRUNED) > 4

    def epochs(the_study: study.Study) -> int:
        return sum(len(t.intermediate_values) for t in the_study.trials())

    assert epochs(full) == 24 * 20
    assert epochs(pruned) < 0.8 * epochs(full)


def test_no_trial_begins_after_the_minutes(train) -> None:
    def stop(run: int, epoch: int) -> None:
        if run == 1:
            train.now += 61

    train.now, train.stop = 0.0, stop
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search.time, "monotonic", lambda: train.now)
        done = tune(options(minutes=4.0))
    assert len(done.trials()) == 2


def test_the_results(train, capsys, monkeypatch) -> None:
    monkeypatch.setattr(results, "_plots", PLOTS)
    config = options("--batch_size=64", "--layers=8,4", seed=1)
    done = tune(config)
    printed = capsys.readouterr().out
    lines = [row for row in printed.splitlines() if row.startswith("trial")]
    assert len(lines) == 14 and "learning_rate=" in lines[0]
    winner = results.best(done, config)
    assert winner.values[0] == max(
        t.values[0]
        for t in done.trials()
        if t.values and "value" in t.user_attrs
    )
    again = application.load(
        Config(command=("toy", f"--flagfile={done.directory / 'best.flags'}"))
    ).base
    assert again == done.application.options(winner.params)
    assert "batch_size" in again.given and again.layers == ("8", "4")
    numbers = json.loads((done.directory / "study.json").read_text())
    assert numbers["best"] == winner.number and len(numbers["trials"]) == 14
    assert "host" not in numbers["trials"][0]
    page = (done.directory / "report.html").read_text()
    for title in ("History", "Parallel coordinates", "Importance of the"):
        assert title in page
    assert "best.flags</code>" in page and page.count("data:image/png") == 3
    plot = plots.coordinates(done.trials(), done.application.parameters, winner)
    low, high = plot.figure.axes[0].get_ylim()
    assert -0.1 < low < 0 and 1 < high < 1.1  # The ends of all ranges.
    shares = results.importances(done, config)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-6)


def test_metric_and_size_have_a_front(train, monkeypatch) -> None:
    monkeypatch.setattr(results, "_plots", PLOTS)
    config = options("--max_drop=0.05", objectives=("metric", "size"))
    done = tune(config)
    assert train.runs[0].variants == ("dynamic",)
    finished = results.complete(done)
    assert len(finished) == 14  # Nothing is stopped early.
    winner = results.best(done, config)
    best_metric = max(t.values[0] for t in finished)
    assert winner.values[0] >= best_metric - 0.05
    smaller = [t for t in finished if t.values[1] < winner.values[1]]
    assert all(t.values[0] < best_metric - 0.05 for t in smaller)
    assert "Pareto front" in (done.directory / "report.html").read_text()


def test_the_best_is_released_once_and_only_outside_a_trial(train) -> None:
    config = options("--export_dir=models", trials=3, release_best=True)
    done = tune(config)
    released = Path("models/released")
    assert float(released.read_text()) == results.best(done, config).values[0]
    assert len(train.runs) == 4
    tune(config)
    assert len(train.runs) == 4


def test_a_release_that_cannot_be_written_is_said_first(train) -> None:
    Path("file").write_text("")
    with pytest.raises(InputError, match="--export_dir must be"):
        tune(options("--export_dir=file", release_best=True))
    assert not train.runs


def test_a_bad_database_gets_one_line(monkeypatch) -> None:
    monkeypatch.setattr(study, "_storage", STORAGE)
    for url in ("nothing", "sqlite:////nowhere/x.db", "unknown://host/db"):
        with pytest.raises(InputError, match="--storage must be the URL") as e:
            tune(options(storage=url))
        assert "\n" not in str(e.value)


def test_a_copy_of_a_trial_that_was_stopped_early_says_so(train) -> None:
    config = options(search="units=8|64, kind=a|b")
    app = application.load(config)
    copy = optuna.trial.create_trial(
        state=TrialState.PRUNED, user_attrs={"same_as": 1, "seconds": 0.0}
    )
    printed = search.line(copy, config, app)
    assert "stopped early (as trial 2)" in printed


def test_silence_ends_with_its_block(capsys) -> None:
    with console.silent():
        console.get().print("no")
    console.get().print("yes")
    assert capsys.readouterr().out.split() == ["yes"]


def test_what_is_equal_and_finished_is_not_run_again() -> None:
    done = optuna.trial.create_trial(state=TrialState.FAIL)
    running = optuna.trial.create_trial(state=TrialState.RUNNING)
    trials_so_far: list[FrozenTrial] = [running, done]
    assert study.same(trials_so_far, {}) is done
    assert study.same(trials_so_far, {"a": 1}) is None
