"""Releases: directories that a server loads and a phone build copies from.

A release is written under a hidden name beside its final name. It is renamed
when it is complete and has been read back, so a server that polls never sees
half a release. Versions count up and are never overwritten.
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
    """A named function of a release, which clients call.

    Attributes:
        function: Maps tensors, in the order of `inputs`, to named tensors. It
            holds every step from the raw input to the decision.
        inputs: The specs of the tensors that a client sends; the batch axis is
            None.
        example: A few real rows of each input, in the order of `inputs`.
            `verify` sends them to the written model. Servers warm up with all
            rows at once and with each row alone.
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: tuple[tf.TensorSpec, ...]
    example: tuple[Any, ...]


def check(export_dir: str | Path) -> None:
    """Refuses a directory that cannot be written, before any work is done.

    Raises:
        InputError: If the directory cannot be written or locked, or if its
            models.config is damaged.
    """
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
        directory: The hidden directory to write the files into.
        path: The release's final directory; None until it is published.
    """

    directory: Path
    path: Path | None = None


@contextlib.contextmanager
def release(export_dir: str | Path, app: str) -> Iterator[Draft]:
    """Yields a draft to fill; it becomes the next version when the block ends.

    Servers load the version from then on. If the block raises, the draft is
    removed.

    Args:
        export_dir: The directory of releases.
        app: The app, whose name the directory of its versions has.

    Raises:
        InputError: If the directory cannot be written.
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
        # This fails, as it should, where the app has releases. The lock keeps
        # other exports from making a draft in the directory meanwhile.
        with (
            contextlib.suppress(OSError),
            models_config.locked(Path(export_dir)),
        ):
            root.rmdir()


def _make_known(export_dir: Path, app: str, path: Path) -> None:
    """Lists a release in models.config; its lease marks it until then."""
    if not (path / "saved_model.pb").is_file():
        (path / drafts.LEASE).unlink()
    elif models_config.add(export_dir, app, int(path.name)) is None:
        console.get().print(
            f"note: {export_dir / models_config.MODELS} has a version policy "
            f"of your own for {app}; it is left alone"
        )


def _publish(partial: Path, root: Path) -> Path:
    """Renames `partial` to the next free version; returns the new path."""
    while True:
        path = root / str(max(versions(root), default=0) + 1)
        try:
            return partial.rename(path)
        except OSError:
            # Another export may have taken the number: a rename never
            # replaces a directory that has files.
            if not path.exists():
                raise


def versions(root: Path) -> list[int]:
    """Returns the versions in an app's directory, in order."""
    return models_config.numbered(root)


def find(
    release_dir: str, export_dir: str, app: str, option: str = "release"
) -> Path:
    """Returns the directory of the release to use.

    Args:
        release_dir: The release's directory; "" takes the app's newest release.
        export_dir: The directory of releases.
        app: The app whose newest release is taken.
        option: The name of the option that gives `release_dir`.

    Raises:
        InputError: If there is no such release, or a file of it is damaged.
    """
    root = Path(export_dir) / app
    if release_dir:
        release_path = Path(release_dir)
    elif versions(root):
        release_path = root / str(versions(root)[-1])
    else:
        raise InputError(
            f"--export_dir must hold a release of {app}; {root} has none. "
            "Train one with --mode=train."
        )
    if not (release_path / "saved_model.pb").is_file():
        raise InputError(
            f"--{option} must be a release directory; {release_path} has no "
            "saved_model.pb."
        )
    if manifest.read(release_path) is None:
        console.get(stderr=True).print(
            f"note: {release_path} was made before releases had a "
            f"{manifest.NAME}; its files are not checked"
        )
    manifest.check(release_path)
    return release_path


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
        signatures: The signatures by name; `serving_default` is among them.
        tracked: Keras layers, lookup tables and variables that the signatures
            use beside the model; they are saved with it.

    Returns:
        The `serving` part of `report.json`.
    """
    _check_batch_axes(signatures)
    archive = keras.export.ExportArchive()
    for resource in (model, *tracked):
        archive.track(resource)
    for name, signature in signatures.items():
        archive.add_endpoint(name, signature.function, list(signature.inputs))
    archive.add_endpoint(identity.SIGNATURE, identity.make())
    archive.write_out(directory, verbose=False)
    model.save(directory / "model.keras")
    loaded = tf.saved_model.load(directory)
    _write_warmup(directory, loaded, signatures)
    return verify(directory, model, signatures, loaded)


def _check_batch_axes(signatures: Mapping[str, Signature]) -> None:
    """Raises `ValueError` if an input does not take any number of rows."""
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

    def answer(
        name: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        feed = {key: tf.constant(value) for key, value in inputs.items()}
        outputs = loaded.signatures[name](**feed)
        return {key: value.numpy() for key, value in outputs.items()}

    examples = {
        name: {
            spec.name: tf.constant(value, spec.dtype).numpy()
            for spec, value in zip(
                signature.inputs, signature.example, strict=True
            )
        }
        for name, signature in signatures.items()
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
        model: The model that the release was written from.
        signatures: The signatures by name.
        loaded: The SavedModel if it has been read back already; None reads it.

    Returns:
        `signatures`, the dtypes and shapes of inputs and outputs by signature,
        and `max_abs_error`, the greatest difference.

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
    for weight, original in zip(copy.weights, model.weights, strict=True):
        worst = np.maximum(worst, _difference(weight, original))
    if not worst <= 1e-5:
        raise RuntimeError(f"the release differs from the model by {worst}.")
    return {"signatures": described, "max_abs_error": float(worst)}


def _difference(value: Any, expected: Any) -> float:
    """Returns the greatest difference; infinite where texts differ.

    Infinities that are equal do not differ; NaN differs from everything.
    """
    value, expected = np.asarray(value), np.asarray(expected)
    if value.dtype.kind in "OSU":
        return 0.0 if np.array_equal(value, expected) else np.inf
    value, expected = np.broadcast_arrays(
        value.astype(float), expected.astype(float)
    )
    unequal = value != expected
    gaps = np.abs(value[unequal] - expected[unequal])
    return float(np.max(gaps, initial=0.0))


def _spec(spec: tf.TensorSpec) -> dict[str, Any]:
    """Returns a tensor's dtype and shape, ready for JSON."""
    return {"dtype": spec.dtype.name, "shape": list(spec.shape)}
