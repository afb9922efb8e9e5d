"""The embedded server's models, which follow models.config while it runs."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import logging

from common.options import InputError
from common.release import manifest, models_config
from common.release.status import ServingError

from .version import Version

POLL_SECONDS = 1.0
DRAIN_SECONDS = 30.0
# The pause before the next attempt to load a version that failed; it doubles
# after each attempt.
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 300.0


@dataclasses.dataclass(frozen=True)
class Failure:
    """A version that could not be loaded.

    Attributes:
        files: Names, sizes and modification times of its files at the failure.
        seconds: The pause before the next attempt; a change of the files ends
            it.
        until: The end of the pause, on the monotonic clock.
    """

    files: frozenset[tuple[str, int, int]]
    seconds: float
    until: float


class Models:
    """The loaded versions of all apps; any thread may use them.

    models.config chooses the versions of an app; an app without an entry has
    its newest version. A version is loaded and warmed up before requests can
    use it. It is dropped only when the last request that uses it is answered.

    Attributes:
        states: By app and version, the name of a state in TF Serving and an
            error, "" if there is none. Dropped versions keep the state END.
    """

    def __init__(
        self, export_dir: Path, tell: Callable[[str], None] = print
    ) -> None:
        """Makes an empty set.

        Args:
            export_dir: The directory of releases.
            tell: Prints a line for the operator.
        """
        self._export_dir, self._tell = export_dir, tell
        self._lock = threading.Lock()
        self._models: dict[str, dict[int, Version]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self.states: dict[str, dict[int, tuple[str, str]]] = {}
        self._failures: dict[Path, Failure] = {}
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None

    def watch(self, seconds: float = POLL_SECONDS) -> None:
        """Starts a thread that calls `refresh` at regular times.

        Args:
            seconds: The pause between two calls.
        """

        def run() -> None:
            while not self._stop.wait(seconds):
                try:
                    self.refresh()
                except Exception:  # Our own fault must not end the thread.
                    logging.exception("watching %s", self._export_dir)

        self._watcher = threading.Thread(target=run, name="watch", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Ends the thread of `watch`."""
        self._stop.set()
        if self._watcher:
            self._watcher.join()

    def refresh(self) -> None:
        """Loads the wanted versions, then drops the others; see `_wanted`."""
        try:
            wanted = self._wanted()
        except (InputError, OSError) as error:
            self._tell_once(f"{error} Serving as before.")
            return
        for app, (versions, labels) in wanted.items():
            for version in versions:
                if version not in self._models.get(app, {}):
                    self._load(app, version)
            self._move_labels(app, labels)
        for app in list(self._models):
            versions = wanted.get(app, ((), {}))[0]
            loaded = self._models[app]
            # The old versions answer until a wanted version is loaded.
            if not versions or set(versions) & set(loaded):
                for version in set(loaded) - set(versions):
                    self._drop(app, version)

    @contextlib.contextmanager
    def use(
        self, app: str, version: int | None = None, label: str = ""
    ) -> Iterator[Version]:
        """Yields a loaded version, which stays loaded while the block runs.

        Args:
            app: The app's name.
            version: The version's number; None for the label's version.
            label: The label; "" for the newest version.

        Raises:
            ServingError: If there is no such version.
        """
        with self._lock:
            model = self._find(app, version, label)
            use = model.used()
            use.__enter__()
        try:
            yield model
        finally:
            use.__exit__(None, None, None)

    def version(self, app: str, label: str) -> int:
        """Returns the version that a label names.

        Raises:
            ServingError: If there is no such label.
        """
        version = self._labels.get(app, {}).get(label)
        if version is None:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Model {app} has no label {label}",
            )
        return version

    def newest(self) -> dict[str, int]:
        """Returns the version of each app that answers by default."""
        with self._lock:
            return {
                app: max(models)
                for app, models in self._models.items()
                if models
            }

    def _find(self, app: str, version: int | None, label: str) -> Version:
        if label:
            version = self.version(app, label)
        models = self._models.get(app, {})
        if version is None and models:
            return models[max(models)]
        if version not in models:
            wanted = "No version" if version is None else f"Version {version}"
            verb = "is" if version is None else "is not"
            raise ServingError(
                "NOT_FOUND", f"{wanted} of model {app} {verb} served"
            )
        return models[version]

    def _wanted(self) -> dict[str, tuple[tuple[int, ...], dict[str, int]]]:
        """Returns the versions to load and the labels of each app.

        They come from models.config; an app without an entry there has its
        newest version and no labels.
        """
        targets = {}
        entries = models_config.read(self._export_dir).model_config_list.config
        known = {entry.name: entry for entry in entries}
        for app in sorted({*known, *models_config.apps(self._export_dir)}):
            on_disk = models_config.versions(self._export_dir / app)
            labels = dict(known[app].version_labels) if app in known else {}
            policy = known[app].model_version_policy if app in known else None
            if policy and policy.HasField("specific"):
                versions = set(policy.specific.versions) & set(on_disk)
            elif policy and policy.HasField("all"):
                versions = set(on_disk)
            else:
                count = policy.latest.num_versions if policy else 1
                versions = set(on_disk[-(count or 1) :])
            targets[app] = (tuple(sorted(versions)), labels)
        return targets

    def _load(self, app: str, version: int) -> None:
        path = models_config.directory(self._export_dir / app, version)
        if self._is_resting(path):
            return
        states = self.states.setdefault(app, {})
        if states.get(version, ("", ""))[0] != "LOADING":
            states[version] = ("LOADING", "")
        try:
            manifest.check(path, manifest.SERVED)
            model = Version(path)
            model.warm_up()
        except Exception as error:  # The other versions must go on serving.
            line = " ".join(str(error).split())[:300]
            if states[version][1] != line:
                self._tell(f"{path} cannot be loaded: {line}")
            states[version] = ("LOADING", line)
            self._note_failure(path)
            return
        with self._lock:
            self._models.setdefault(app, {})[version] = model
            states[version] = ("AVAILABLE", "")
        self._tell(f"{app}: version {version} is served")

    def _is_resting(self, path: Path) -> bool:
        """Tells whether a version must still wait for its next attempt."""
        failure = self._failures.get(path)
        if failure is None:
            return False
        if failure.files != _files(path):
            del self._failures[path]
            return False
        return time.monotonic() < failure.until

    def _note_failure(self, path: Path) -> None:
        """Notes a failure; its pause is twice that of the failure before."""
        before, seconds = self._failures.get(path), FIRST_RETRY_SECONDS
        if before:
            seconds = min(2 * before.seconds, LAST_RETRY_SECONDS)
        until = time.monotonic() + seconds
        self._failures[path] = Failure(_files(path), seconds, until)

    def _move_labels(self, app: str, labels: dict[str, int]) -> None:
        """Moves labels to versions that are loaded; other labels stay."""
        with self._lock:
            loaded = self._models.get(app, {})
            before = self._labels.get(app, {})
            self._labels[app] = {
                label: version if version in loaded else before[label]
                for label, version in labels.items()
                if version in loaded or label in before
            }

    def _drop(self, app: str, version: int) -> None:
        with self._lock:
            model = self._models[app].pop(version)
            self.states[app][version] = ("UNLOADING", "")
        model.drain(DRAIN_SECONDS)
        self.states[app][version] = ("END", "")
        self._tell(f"{app}: version {version} is drained and unloaded")

    def _tell_once(self, line: str) -> None:
        """Prints a line unless the last line printed here was the same."""
        if line != getattr(self, "_last", ""):
            self._last = line
            self._tell(line)


def _files(path: Path) -> frozenset[tuple[str, int, int]]:
    """Returns the names, sizes and modification times of a release's files."""
    files = set()
    for file in path.rglob("*"):
        with contextlib.suppress(OSError):  # The file was just deleted.
            status = file.stat()
            files.add((str(file), status.st_size, status.st_mtime_ns))
    return frozenset(files)
