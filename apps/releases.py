"""Manages releases: lists, rolls out, rolls back, deletes and checks them.

  python -m apps.releases list
  python -m apps.releases promote --app=image_classify --label=canary
  python -m apps.releases promote --app=image_classify
  python -m apps.releases rollback --app=image_classify
  python -m apps.releases prune --keep=3
  python -m apps.releases verify --app=image_classify

It changes `models.config`, which servers read every few seconds. No server
needs to run. deploy/README.md says what each step means for clients.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import rich.box
import rich.table

from common import console, flags, runtime
from common.options import Checked, InputError, option
from common.release import models_config, pruning, rollout


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    """Options of the release tool."""

    command: str = option(
        "list",
        "the command; it may be given without --command=.",
        choices=("list", "promote", "rollback", "prune", "verify"),
    )
    export_dir: str = option("saved_models", "the directory of releases.")
    app: str = option(
        "", "the app; list, prune and verify take all apps by default."
    )
    version: int = option(
        0,
        "promote, verify: the version; 0 for the newest.",
        minimum=0,
        maximum=2**63 - 1,
    )
    label: str = option(
        "stable", "promote: the label to move.", choices=("stable", "canary")
    )
    keep: int = option(
        3, "prune: the number of newest versions to keep.", minimum=1
    )
    settle_seconds: float = option(
        models_config.SETTLE_SECONDS,
        "promote, rollback: the seconds that servers have to notice a version "
        "before a label moves to it; more than their poll interval.",
        minimum=0.0,
    )


def main(settings: Config) -> None:
    """Runs the command that the options name."""
    export_dir = Path(settings.export_dir)
    if not models_config.apps(export_dir):
        raise InputError(
            f"--export_dir must hold a release; {settings.export_dir} has none."
        )
    models_config.complete(export_dir)
    commands = {
        "list": show,
        "promote": promote,
        "rollback": roll_back,
        "prune": prune,
        "verify": verify,
    }
    commands[settings.command](settings, export_dir)


def show(settings: Config, export_dir: Path) -> None:
    """Prints each version: its labels, and whether servers load it."""
    table = rich.table.Table(
        "app", "version", "labels", "state", box=rich.box.SIMPLE_HEAD
    )
    for app in chosen(settings, export_dir):
        now = models_config.state(export_dir, app)
        for version in models_config.versions(export_dir / app):
            if now is None:
                table.add_row(app, str(version), "", "as your own policy says")
                continue
            labels = {"stable": now.stable, "canary": now.canary}
            names = [name for name in labels if labels[name] == version]
            status = "loaded" if version in now.loaded else "on disk"
            if version == now.newest:
                status = "loaded, answers by default"
            table.add_row(app, str(version), ", ".join(names), status)
    console.get().print(table)


def promote(settings: Config, export_dir: Path) -> None:
    """Moves a label to a version after servers have loaded the version."""
    app = the_app(settings, export_dir)
    on_disk = models_config.versions(export_dir / app)
    version = settings.version or on_disk[-1]
    if version not in on_disk:
        raise InputError(
            f"--version must be one of {', '.join(map(str, on_disk))}; "
            f"received {version}."
        )
    move(
        settings, export_dir, app, version,
        lambda now: rollout.promote(now, version, settings.label),
    )  # fmt: skip


def roll_back(settings: Config, export_dir: Path) -> None:
    """Takes the newest version in service out of service."""
    app = the_app(settings, export_dir)
    on_disk = models_config.versions(export_dir / app)
    version = rollout.target(state(export_dir, app), on_disk)
    move(
        settings, export_dir, app, version,
        lambda now: rollout.roll_back(now, version),
    )  # fmt: skip


def move(
    settings: Config,
    export_dir: Path,
    app: str,
    version: int,
    change: Callable[[rollout.Rollout], rollout.Rollout],
) -> None:
    """Loads a version if it is not loaded, then moves the labels.

    Servers have `settle_seconds` between the two steps.

    Args:
        settings: The options.
        export_dir: The directory of releases.
        app: The app's name.
        version: The version that must be loaded.
        change: Maps the state with the version loaded to the new state.

    Raises:
        InputError: If the app's version policy is a user's own.
    """
    before = state(export_dir, app)
    if version not in before.loaded:
        models_config.update(
            export_dir, app, lambda now: rollout.load(now or before, version)
        )
    models_config.settle(export_dir, settings.settle_seconds)
    after = models_config.update(
        export_dir, app, lambda now: change(now or before)
    )
    if after is None:
        raise not_ours(export_dir, app)
    unloaded = sorted(set(before.loaded) - set(after.loaded))
    terminal = console.get()
    terminal.print(
        f"{app}: stable is {after.stable}, canary is {after.canary}, "
        f"{after.newest} answers by default"
    )
    if unloaded:
        terminal.print(
            f"{app}: {', '.join(map(str, unloaded))} is drained and unloaded"
        )


def prune(settings: Config, export_dir: Path) -> None:
    """Deletes old versions that no server loads."""
    for app in chosen(settings, export_dir):
        with models_config.locked(export_dir):
            now = models_config.state(export_dir, app)
            deleted = now and pruning.prune(
                export_dir / app, now, settings.keep
            )
        names = ", ".join(map(str, deleted or ())) or "nothing"
        if now is None:
            names += ": its version policy is your own"
        console.get().print(f"{app}: deleted {names}")


def verify(settings: Config, export_dir: Path) -> None:
    """Checks releases against their own reports and recorded answers."""
    runtime.start(seed=0)
    from common.release import verification  # It imports TensorFlow.

    failed = []
    for app in chosen(settings, export_dir):
        version = (
            settings.version or models_config.versions(export_dir / app)[-1]
        )
        release = export_dir / app / str(version)
        for check in verification.verify(release):
            mark = "ok  " if check.passed else "FAIL"
            console.get().print(f"{mark}  {release}  {check.what}")
            if not check.passed:
                failed.append(f"{release}: {check.what}")
    if failed:
        raise InputError("releases must be as they were made; " + failed[0])


def chosen(settings: Config, export_dir: Path) -> list[str]:
    """Returns the app that `--app` names, or all apps."""
    if settings.app:
        return [the_app(settings, export_dir)]
    return models_config.apps(export_dir)


def the_app(settings: Config, export_dir: Path) -> str:
    """Returns the app that `--app` names, or the only app there is.

    Raises:
        InputError: If `--app` names no app that has releases.
    """
    apps = models_config.apps(export_dir)
    if not settings.app and len(apps) == 1:
        return apps[0]
    if settings.app not in apps:
        raise InputError(
            f"--app must be one of {', '.join(apps)}; received "
            f"{settings.app!r}."
        )
    return settings.app


def state(export_dir: Path, app: str) -> rollout.Rollout:
    """Returns an app's state.

    Raises:
        InputError: If the app's version policy is a user's own.
    """
    rollout_state = models_config.state(export_dir, app)
    if rollout_state is None:
        raise not_ours(export_dir, app)
    return rollout_state


def not_ours(export_dir: Path, app: str) -> InputError:
    """Returns the error for an app whose versions the user's policy chooses."""
    return InputError(
        f"{export_dir / models_config.MODELS} must list versions of {app}, "
        "labelled stable and canary; its policy is another one. Remove its "
        "entry."
    )


if __name__ == "__main__":
    flags.launch(main, Config, positional="command")
