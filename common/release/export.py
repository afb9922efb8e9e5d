"""Releases: a directory that a server loads and a phone build takes from.

A release is written under a hidden name beside its final one and renamed when
it is whole and has been read back, so a server that polls never sees half of
one. Versions count up and are never overwritten.
"""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common import console, runtime
from common.options import InputError

from . import drafts, identity, manifest, models_config, warmup


@dataclasses.dataclass(frozen=True)
class Signature:
    """One way to ask the model.

    Attributes:
        function: From tensors, in the order of `inputs`, to named tensors.
            Everything from raw input to decision happens in it.
        inputs: What a client sends; the batch axis is None.
        example: Inputs that `verify` sends to the written model, and servers
            to warm up: a few real rows, to which they also add each row alone.
    """

    function: Callable[..., dict[str, Any]]
    inputs: tuple[Any, ...]
    example: tuple[Any, ...]


def check(export_dir: str | Path) -> None:
    """Refuses a directory that cannot be written, before any work is done."""
    path = Path(export_dir).absolute()
    while not path.exists():
        path = path.parent
    if not (path.is_dir() and os.access(path, os.W_OK)):
        raise InputError(
            f"--export_dir must be a directory that can be written; received "
            f"{str(export_dir)!r}."
        )
    models_config.check(Path(export_dir))


@dataclasses.dataclass
class Draft:
    """A release that is being written.

    Attributes:
        directory: Where to write.
        path: The release's own directory, once it is published.
    """

    directory: Path
    path: Path | None = None


@contextlib.contextmanager
def release(export_dir: str | Path, app: str) -> Iterator[Draft]:
    """Gives a draft to fill; on leaving, it becomes the next version.

    Servers load that from then on. If the block raises, nothing is left of it.
    """
    root = Path(export_dir) / app
    try:
        root.mkdir(parents=True, exist_ok=True)
        with models_config.locked(Path(export_dir)):
            drafts.remove_stale(root)
            partial, lease = drafts.make(root)
    except OSError as error:
        raise InputError(
            f"--export_dir must be a directory that can be written; received "
            f"{str(export_dir)!r}: {error.strerror}."
        ) from None
    try:
        draft = Draft(partial)
        with runtime.writing("--export_dir", Path(export_dir)):
            yield draft
            manifest.write(partial)
            draft.path = _publish(partial, root)
            _make_known(Path(export_dir), app, draft.path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lease)
        # It has releases, as a rule. Nobody else is about to make a draft.
        with (
            contextlib.suppress(OSError),
            models_config.locked(Path(export_dir)),
        ):
            root.rmdir()


def _make_known(export_dir: Path, app: str, path: Path) -> None:
    """Tells servers of a release; until then its lease marks it as unlisted."""
    if not (path / "saved_model.pb").is_file():
        (path / drafts.LEASE).unlink()
    elif models_config.add(export_dir, app, int(path.name)) is None:
        console.get().print(
            f"note: {export_dir / models_config.MODELS} has a version policy "
            f"of your own for {app}; it is left alone"
        )


def _publish(partial: Path, root: Path) -> Path:
    """Renames `partial` to the next free version and returns that."""
    while True:
        path = root / str(max(versions(root), default=0) + 1)
        try:
            return partial.rename(path)
        except OSError:
            # Another export took the number; a rename never replaces a
            # directory that has files.
            if not path.exists():
                raise


def versions(root: Path) -> list[int]:
    """Returns the versions in an app's directory, in order."""
    return models_config.numbered(root)


def find(release_dir: str, export_dir: str, app: str) -> Path:
    """Returns the release to use: the one named, or the app's newest.

    Raises:
        InputError: If there is none, or a file of it is damaged.
    """
    root = Path(export_dir) / app
    if release_dir:
        found = Path(release_dir)
    elif versions(root):
        found = root / str(versions(root)[-1])
    else:
        raise InputError(
            f"--export_dir must hold a release of {app}; {root} has none. "
            "Train one with --mode=train."
        )
    if not (found / "saved_model.pb").is_file():
        raise InputError(
            f"--release must be a release directory; {found} has no "
            "saved_model.pb."
        )
    if manifest.read(found) is None:
        console.get(stderr=True).print(
            f"note: {found} was made before releases had a {manifest.NAME}; "
            "its files are not checked"
        )
    manifest.check(found)
    return found


def save(
    directory: Path,
    model: keras.Model,
    signatures: Mapping[str, Signature],
    tracked: Sequence[Any] = (),
) -> dict[str, Any]:
    """Writes the SavedModel and `model.keras`, and reads both back.

    Args:
        directory: The partial release.
        model: The trained model.
        signatures: What clients call, by name; one is `serving_default`.
        tracked: What else the signatures use and must be saved with them:
            Keras layers, lookup tables, variables.

    Returns:
        The `serving` part of `report.json`.
    """
    _check_batch_axes(signatures)
    archive = keras.export.ExportArchive()
    for one in (model, *tracked):
        archive.track(one)
    for name, signature in signatures.items():
        archive.add_endpoint(name, signature.function, list(signature.inputs))
    archive.add_endpoint(identity.SIGNATURE, identity.make())
    archive.write_out(directory, verbose=False)
    model.save(directory / "model.keras")
    loaded = tf.saved_model.load(directory)
    _write_warmup(directory, loaded, signatures)
    return verify(directory, model, signatures, loaded)


def _check_batch_axes(signatures: Mapping[str, Signature]) -> None:
    """Raises if a client could not send any number of rows."""
    for name, signature in signatures.items():
        for spec in signature.inputs:
            if not spec.shape.rank or spec.shape[0] is not None:
                raise ValueError(
                    f"signature {name}: the first axis of {spec.name} must be "
                    f"None, the batch; received {spec.shape}."
                )


def _write_warmup(
    directory: Path, loaded: Any, signatures: Mapping[str, Signature]
) -> None:
    """Writes the signatures' examples as requests that servers replay."""

    def answer(name: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        feed = {key: tf.constant(value) for key, value in inputs.items()}
        found = loaded.signatures[name](**feed)
        return {key: value.numpy() for key, value in found.items()}

    examples = {
        name: {
            spec.name: tf.constant(value, spec.dtype).numpy()
            for spec, value in zip(one.inputs, one.example, strict=True)
        }
        for name, one in signatures.items()
    }
    warmup.write(directory, directory.parent.name, examples, answer)


def verify(
    directory: Path,
    model: keras.Model,
    signatures: Mapping[str, Signature],
    loaded: Any = None,
) -> dict[str, Any]:
    """Reads a written release back and compares it with the model in memory.

    Args:
        directory: The release.
        model: What it was written from.
        signatures: What clients call.
        loaded: The SavedModel, if it has been read back already.

    Raises:
        RuntimeError: If an output differs by more than 1e-5, or is NaN.
    """
    loaded = loaded or tf.saved_model.load(directory)
    worst, described = 0.0, {}
    for name, signature in signatures.items():
        served = loaded.signatures[name]
        keys = [spec.name for spec in signature.inputs]
        feed = dict(zip(keys, map(tf.constant, signature.example), strict=True))
        expected = signature.function(*feed.values())
        for key, value in served(**feed).items():
            worst = np.maximum(worst, _difference(value, expected[key]))
        _, inputs = served.structured_input_signature
        described[name] = {
            "inputs": {key: _spec(spec) for key, spec in inputs.items()},
            "outputs": {
                key: _spec(spec)
                for key, spec in served.structured_outputs.items()
            },
        }
    copy = keras.saving.load_model(directory / "model.keras", compile=False)
    for one, other in zip(copy.weights, model.weights, strict=True):
        worst = np.maximum(worst, _difference(one, other))
    if not worst <= 1e-5:
        raise RuntimeError(f"the release differs from the model by {worst}.")
    return {"signatures": described, "max_abs_error": float(worst)}


def _difference(one: Any, other: Any) -> float:
    """Returns the greatest difference; infinite where texts differ.

    Infinities that are equal do not differ; NaN differs from everything.
    """
    one, other = np.asarray(one), np.asarray(other)
    if one.dtype.kind in "OSU":
        return 0.0 if np.array_equal(one, other) else np.inf
    one, other = np.broadcast_arrays(one.astype(float), other.astype(float))
    unequal = one != other
    return float(np.max(np.abs(one[unequal] - other[unequal]), initial=0.0))


def _spec(spec: Any) -> dict[str, Any]:
    """Returns a tensor's dtype and shape, ready for JSON."""
    return {"dtype": spec.dtype.name, "shape": list(spec.shape)}
