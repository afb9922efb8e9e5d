"""Reads a `.npz` file of a user's examples as splits."""

import math
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common.data.splits import MemorySplit, Splits
from common.options import InputError, quote

from . import archive, user_model

SUFFIXES = {"train": "", "valid": "_valid", "test": "_test"}
# The part of unsplit data that goes to validation, and the part that goes to
# test.
HELD_OUT = 0.1
HELD_OUT_UNLABELLED = 0.25
FEWEST = 8  # The fewest examples that a file may hold.
LABELS = "y"
MAGIC = np.lib.format.MAGIC_PREFIX
WRITE = "Write it with numpy.savez(path, x=x, y=y)."


def load(
    path: str,
    model: keras.Model,
    seed: int,
    labelled: bool,
    outputs: Sequence[str] = (),
) -> Splits:
    """Loads `x` and `y`, or arrays with the names of the model's inputs.

    The splits are `x` and `y`, `x_valid` and `y_valid`, `x_test` and `y_test`.
    A split that is missing is taken from the training examples at random.

    Args:
        path: A `.npz` file; nothing in it is unpickled.
        model: The model that the data are for.
        seed: Fixes the random choice.
        labelled: Whether the file must hold labels.
        outputs: The outputs that have labels, of a model with several: they
            are in `y_<output>`, `y_<output>_valid` and `y_<output>_test`, and
            become labels by the name of the output.

    Raises:
        InputError: If the file is damaged or lacks an array, or if its arrays
            are not of numbers or differ in length.
    """
    arrays = _read_npz(path)
    names = user_model.input_names(model)
    dtypes = {
        name: tensor.dtype
        for name, tensor in zip(names, model.inputs, strict=True)
    }
    labels = [f"{LABELS}_{output}" for output in outputs] or [LABELS]
    parts: dict[str, Any] = {
        split: _take(path, arrays, dtypes, suffix, labels, labelled)
        for split, suffix in SUFFIXES.items()
    }
    train = parts["train"]
    if train is None:
        expected = _expected(names, labels if labelled else ())
        raise InputError(
            f"{path} must hold {expected}; it holds "
            f"{', '.join(arrays) or 'nothing'}."
        )
    held_out = HELD_OUT if labelled else HELD_OUT_UNLABELLED
    missing = [name for name, split in parts.items() if split is None]
    order = np.random.default_rng(seed).permutation(train.num_examples)
    size = max(1, round(held_out * len(order)))
    for name in missing:
        parts[name] = train.pick(np.sort(order[:size]))
        order = order[size:]
    if missing:
        parts["train"] = train.pick(np.sort(order))
    return Splits(Path(path).name, (), **parts)


def _read_npz(path: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a `.npz` file, by name."""
    if not Path(path).is_file():
        raise InputError(f"the data must be a file; there is no {path}.")
    try:
        if not zipfile.is_zipfile(path):
            raise InputError(
                f"{path} must be a .npz file, a zip of arrays. {WRITE}"
            )
        with zipfile.ZipFile(path) as file:
            archive.check(file)
            for member in file.infolist():
                _check_header(file, member)
        with np.load(path, allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
    except InputError:
        raise
    # NumPy parses the header as Python: a damaged one can raise any error.
    except Exception as error:
        raise InputError(
            f"{path} must be a .npz file of plain arrays: "
            f"{archive.first_line(error)}. {WRITE}"
        ) from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # A file that is no .npy file.
            raise InputError(
                f"{path} must hold arrays only; {name} is no array. {WRITE}"
            )
        if array.dtype.kind not in "biufUS":
            raise InputError(
                f"{path} must hold numbers or strings; {name} is of "
                f"{array.dtype}."
            )
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise InputError(f"{path} has NaN or infinite values in {name}.")
    return arrays


def _check_header(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuses an array whose header claims another size than the member has.

    NumPy would allocate all memory that the header claims.

    Raises:
        ValueError: If the sizes differ.
    """
    with file.open(member) as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            return  # `_read_npz` refuses it later, by its name.
        stream.seek(0)
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if not read_header:
            raise ValueError(
                f"{quote(member.filename)} has version {version} of the format"
            )
        shape, _, dtype = read_header(stream)
        claimed = math.prod(shape) * dtype.itemsize
        actual = member.file_size - stream.tell()
    if claimed != actual and not dtype.hasobject:
        raise ValueError(
            f"{quote(member.filename)} claims {claimed:,} bytes and has "
            f"{actual:,}"
        )


def _take(
    path: str,
    arrays: Mapping[str, np.ndarray],
    dtypes: Mapping[str, str],
    suffix: str,
    labels: Sequence[str],
    labelled: bool,
) -> MemorySplit | None:
    """Returns a split, None if the file has no array of its inputs.

    Args:
        path: The file, for messages.
        arrays: All arrays of the file, by name.
        dtypes: The dtypes of the model's inputs, by name.
        suffix: The ending of the names of the split's arrays.
        labels: The names of the arrays of labels, without the suffix.
        labelled: Whether the file must hold them; if not, labels are zeros.
    """
    names = tuple(dtypes)
    keys = {name: f"{name}{suffix}" for name in names}
    if len(names) == 1 and keys[names[0]] not in arrays:
        keys = {names[0]: f"x{suffix}"}
    if not any(key in arrays for key in keys.values()):
        return None
    needed = [*keys.values()]
    if labelled:
        needed += [f"{label}{suffix}" for label in labels]
    strings = {keys[name] for name in names if dtypes[name] == "string"}
    _check(path, arrays, needed, strings, _expected(names, labels))
    features = {name: arrays[key] for name, key in keys.items()}
    lengths = {len(arrays[key]) if arrays[key].ndim else 0 for key in needed}
    if len(lengths) > 1 or min(lengths) < (FEWEST if not suffix else 1):
        raise InputError(
            f"{path} must have as many labels as examples, {FEWEST} or more; "
            f"received {sorted(lengths)}."
        )
    inputs = features[names[0]] if len(names) == 1 else features
    none = np.zeros(min(lengths), np.float32)
    by_output = {
        label.removeprefix(f"{LABELS}_"): arrays[f"{label}{suffix}"]
        if labelled
        else none
        for label in labels
    }
    return MemorySplit(inputs, by_output.get(LABELS, by_output))


def _check(
    path: str,
    arrays: Mapping[str, np.ndarray],
    needed: Sequence[str],
    strings: Collection[str],
    expected: str,
) -> None:
    """Checks that a file holds the arrays that a split needs.

    Args:
        path: The file, for messages.
        arrays: All arrays of the file, by name.
        needed: The names of the arrays that must be there.
        strings: Those that must hold strings; the others hold numbers.
        expected: The names that a file must hold, for messages.

    Raises:
        InputError: If an array is missing or of another type.
    """
    missing = [key for key in needed if key not in arrays]
    if missing:
        raise InputError(
            f"{path} must hold {missing[0]} too: {expected}. For data without "
            "labels pass --calibration instead of --dataset."
        )
    for key in needed:
        if (arrays[key].dtype.kind in "US") != (key in strings):
            raise InputError(
                f"{path} must hold {'strings' if key in strings else 'numbers'}"
                f" in {key}; it is of {arrays[key].dtype}."
            )


def _expected(names: tuple[str, ...], labels: Sequence[str]) -> str:
    """Returns the names of the arrays that a file must hold, for messages."""
    inputs = ["x"] if len(names) == 1 else list(names)
    return " and ".join([*inputs, *labels])
