"""TF Serving's settings: models.config, batching.config, monitoring.config.

They are text protos in the export directory. Every export writes them, and
replaces each file as a whole. The state of a roll-out is kept in
`models.config` and nowhere else.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from common import whole_file
from common.options import InputError

from . import drafts, rollout
from .rollout import Rollout

# Where containers find the releases; TF Serving takes absolute paths only.
ROOT = "/models"
MODELS, BATCHING, MONITORING = (
    "models.config",
    "batching.config",
    "monitoring.config",
)
LOCK = ".models.config.lock"
# In a release: the folder where a SavedModel keeps files of other programs, and
# in it the body of a request to try.
EXTRA, EXAMPLE = "assets.extra", "example.json"
HEADER = (
    "# Written by every export and by `python -m apps.releases`, which moves\n"
    "# the labels. Paths are those in a container. An entry that lists no\n"
    "# specific versions, or lacks the labels stable and canary, is yours and\n"
    "# left as it is.\n"
)
# For `--enable_batching`: requests wait 2 ms at most for one another. One bad
# input then fails its whole batch; see deploy/README.md.
BATCHING_TEXT = """max_batch_size { value: 64 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 256 }
num_batch_threads { value: 4 }
"""
METRICS_PATH = "/monitoring/prometheus/metrics"
MONITORING_TEXT = f"""prometheus_config {{
  enable: true
  path: "{METRICS_PATH}"
}}
"""
TUNED = {BATCHING: BATCHING_TEXT, MONITORING: MONITORING_TEXT}
# Longer than servers take to read models.config again: those that this project
# starts or describes read it every 2 s.
SETTLE_SECONDS = 5.0


def read(export_dir: Path) -> model_server_config_pb2.ModelServerConfig:
    """Returns the content of models.config; it is empty without the file.

    Raises:
        InputError: If it is no file, or not a `ModelServerConfig`.
    """
    config = model_server_config_pb2.ModelServerConfig()
    path = export_dir / MODELS
    if path.exists() and not path.is_file():
        raise InputError(
            f"{path} must be a file; it is none. Remove it; the next export "
            "writes it anew."
        )
    if path.is_file():
        try:
            text_format.Parse(path.read_bytes(), config)
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path} must be a ModelServerConfig in text form: "
                f"{' '.join(str(error).split())[:300]}. Mend or remove "
                "it; the next export writes it anew."
            ) from None
    return config


def check(export_dir: Path) -> None:
    """Refuses a directory whose files an export could not change.

    Raises:
        InputError: If models.config is damaged, or files cannot be locked.
    """
    read(export_dir)
    try:
        if export_dir.is_dir():
            with locked(export_dir):
                pass
    except OSError as error:
        raise InputError(
            "--export_dir must be on storage where files can be locked "
            f"(flock); received {str(export_dir)!r}: {error.strerror}."
        ) from None


def versions(root: Path) -> list[int]:
    """Returns the versions in an app's directory that hold a SavedModel."""
    return [
        version
        for version in numbered(root)
        if (directory(root, version) / "saved_model.pb").is_file()
    ]


def directory(root: Path, version: int) -> Path:
    """Returns a version's directory, which may have zeros before its number.

    TF Serving takes `00000123` for version 123, and some trainers write so.
    """
    plain = root / str(version)
    if plain.exists():
        return plain
    padded = (
        path
        for path in root.glob(f"0*{version}")
        if path.name.isdigit() and int(path.name) == version
    )
    return next(padded, plain)


def numbered(root: Path) -> list[int]:
    """Returns all versions in an app's directory, in order."""
    if not root.is_dir():
        return []
    return sorted(
        int(path.name)
        for path in root.iterdir()
        if path.name.isascii() and path.name.isdigit()
    )


def unlisted(root: Path) -> list[int]:
    """Returns the versions that no export has listed in models.config yet."""
    return [
        version
        for version in versions(root)
        if (root / str(version) / drafts.LEASE).is_file()
    ]


def apps(export_dir: Path) -> list[str]:
    """Returns the names of the directories that hold releases."""
    if not export_dir.is_dir():
        return []
    return sorted(p.name for p in export_dir.iterdir() if versions(p))


def state(export_dir: Path, app: str) -> Rollout | None:
    """Returns an app's state in models.config.

    It is None if the app has no entry, or one with a user's own policy.
    """
    for entry in read(export_dir).model_config_list.config:
        if entry.name == app:
            return _state(entry)
    return None


def _state(entry: model_server_config_pb2.ModelConfig) -> Rollout | None:
    """Returns an entry's state; None if its policy is a user's own.

    The entries of this module list specific versions and have both labels, each
    of which names a listed version.
    """
    loaded = tuple(sorted(entry.model_version_policy.specific.versions))
    labels = entry.version_labels
    if not {labels.get("stable"), labels.get("canary")} <= set(loaded):
        return None
    return Rollout(loaded, labels["stable"], labels["canary"])


def update(
    export_dir: Path, app: str, change: Callable[[Rollout | None], Rollout]
) -> Rollout | None:
    """Changes an app's state in models.config; returns the new state.

    Other apps' entries, and other fields of this app's entry, are kept. Deleted
    versions are removed from all entries.

    Args:
        export_dir: The directory of releases.
        app: The app's name.
        change: Maps the present state, None if the app has no entry, to the
            new one.

    Returns:
        The new state. It is None if the app's policy is a user's own; the
        policy is then left alone.
    """
    with locked(export_dir):
        config = read(export_dir)
        entries = {
            entry.name: entry for entry in config.model_config_list.config
        }
        before = _state(entries[app]) if app in entries else None
        if app in entries and before is None:
            after = None
        else:
            after = change(before)
            _fill(entries.get(app) or _entry(config, app), after)
        _repair(config, export_dir)
        text = HEADER + text_format.MessageToString(config)
        if config != read(export_dir) or not (export_dir / MODELS).exists():
            replace(export_dir / MODELS, text)
        _replace_missing(export_dir)
    return after


def _entry(
    config: model_server_config_pb2.ModelServerConfig, app: str
) -> model_server_config_pb2.ModelConfig:
    """Adds an entry for an app to `config`; returns the entry."""
    return config.model_config_list.config.add(
        name=app, base_path=f"{ROOT}/{app}", model_platform="tensorflow"
    )


def add(export_dir: Path, app: str, version: int) -> Rollout | None:
    """Lists a new release in models.config; servers then load it.

    Unlisted releases of other exports, which may have been slower or killed,
    are listed with it. The labels do not move.

    Returns:
        The new state; None if the app's policy is a user's own.
    """
    root, listed = export_dir / app, {version}

    def change(before: Rollout | None) -> Rollout:
        listed.update(unlisted(root))
        first, *others = sorted(listed)
        if before:
            after = rollout.export(before, first)
        else:
            after = rollout.first(first)
        for number in others:
            after = rollout.export(after, number)
        return after

    after = update(export_dir, app, change)
    for number in listed:
        (root / str(number) / drafts.LEASE).unlink(missing_ok=True)
    return after


def complete(export_dir: Path) -> None:
    """Lists the releases that were copied here, or whose export was killed.

    Raises:
        InputError: If the files cannot be written.
    """
    known = {entry.name for entry in read(export_dir).model_config_list.config}
    try:
        for app in apps(export_dir):
            new = unlisted(export_dir / app)
            if app not in known:
                new = new or versions(export_dir / app)
            if new:
                add(export_dir, app, new[-1])
        # A directory that cannot be written is fine if nothing is missing.
        if not all((export_dir / name).is_file() for name in TUNED):
            with locked(export_dir):
                _replace_missing(export_dir)
    except OSError as error:
        raise InputError(
            f"--export_dir must be a directory that can be written; received "
            f"{str(export_dir)!r}: {error.strerror}."
        ) from None


def settle(export_dir: Path, seconds: float = SETTLE_SECONDS) -> None:
    """Waits until servers have read the last change of models.config.

    A label may then move to a version that the file lists: servers have begun
    to load the version, and move the label when it is loaded.
    """
    age = time.time() - (export_dir / MODELS).stat().st_mtime
    time.sleep(max(0.0, min(seconds, seconds - age)))


def _fill(entry: model_server_config_pb2.ModelConfig, state: Rollout) -> None:
    """Writes a state into an entry."""
    entry.model_version_policy.specific.versions[:] = state.loaded
    entry.version_labels["stable"] = state.stable
    entry.version_labels["canary"] = state.canary


def _repair(
    config: model_server_config_pb2.ModelServerConfig, export_dir: Path
) -> None:
    """Removes deleted apps and versions: TF Serving would wait for them.

    Entries with a user's own policy are left alone.
    """
    entries = config.model_config_list.config
    for entry in list(entries):
        on_disk = versions(export_dir / entry.name)
        before = _state(entry)
        if before is None:
            continue
        after = rollout.repair(before, on_disk)
        if after is None:
            entries.remove(entry)
        else:
            _fill(entry, after)


@contextlib.contextmanager
def locked(export_dir: Path) -> Iterator[None]:
    """Lets one process at a time change the files, on one host or on several.

    The lock is `flock` on a file that is open for writing, which NFS passes to
    its server. The docstring of `drafts` says what is assumed.
    """
    handle = os.open(export_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with contextlib.suppress(PermissionError):  # Another user made it.
            # Whoever may write to the directory may lock it.
            os.fchmod(handle, export_dir.stat().st_mode & 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)
        for name in (MODELS, BATCHING, MONITORING):
            whole_file.remove_partial(export_dir / name)
        yield
    finally:
        os.close(handle)


def _replace_missing(export_dir: Path) -> None:
    """Writes the files that a user may tune, if they are missing."""
    for name, text in TUNED.items():
        if not (export_dir / name).is_file():
            replace(export_dir / name, text)


def replace(path: Path, text: str) -> None:
    """Replaces a file's text; the file is never seen half written."""
    with whole_file.writing(path) as file:
        file.write(text)
