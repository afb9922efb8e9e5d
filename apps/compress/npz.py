"""A `.npz` file of a user's examples, as splits."""

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common.data.splits import MemorySplit, Splits
from common.options import InputError, quote

from . import archive, user_model

SUFFIXES = {"train": "", "valid": "_valid", "test": "_test"}
# The parts of unsplit data that validation and test get, each.
HELD_OUT = 0.1
HELD_OUT_UNLABELLED = 0.25
FEWEST = 8
LABELS = "y"
MAGIC = np.lib.format.MAGIC_PREFIX
WRITE = "Write it with numpy.savez(path, x=x, y=y)."


def load(path: str, model: keras.Model, seed: int, labelled: bool) -> Splits:
    """Loads `x` and `y`, or arrays named as the model's inputs.

    With `x_valid`, `y_valid`, `x_test`, `y_test` for the splits; those that
    are missing are taken out of the rest, at random, fixed by the seed.

    Args:
        path: A `.npz` file; nothing in it is unpickled.
        model: The model that the data are for.
        seed: Fixes the split.
        labelled: Whether there are labels.
    """
    arrays = _read_npz(path)
    names = user_model.input_names(model)
    found: dict[str, Any] = {
        split: _take(path, arrays, names, suffix, labelled)
        for split, suffix in SUFFIXES.items()
    }
    if found["train"] is None:
        raise InputError(
            f"{path} must hold {_expected(names, labelled)}; it holds "
            f"{', '.join(arrays) or 'nothing'}."
        )
    part = HELD_OUT if labelled else HELD_OUT_UNLABELLED
    missing = [name for name, split in found.items() if split is None]
    order = np.random.default_rng(seed).permutation(found["train"].num_examples)
    size = max(1, round(part * len(order)))
    whole = found["train"]
    for name in missing:
        found[name] = whole.pick(np.sort(order[:size]))
        order = order[size:]
    if missing:
        found["train"] = whole.pick(np.sort(order))
    return Splits(Path(path).name, (), **found)


def _read_npz(path: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a `.npz` file."""
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
    # A damaged header is parsed as Python, and fails in any way.
    except Exception as error:
        raise InputError(
            f"{path} must be a .npz file of plain arrays: "
            f"{archive.first_line(error)}. {WRITE}"
        ) from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # Another file of the zip.
            raise InputError(
                f"{path} must hold arrays only; {name} is none. {WRITE}"
            )
        if array.dtype.kind not in "biuf":
            raise InputError(
                f"{path} must hold numbers; {name} is of {array.dtype}."
            )
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise InputError(f"{path} has NaN or infinite values in {name}.")
    return arrays


def _check_header(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuses an array whose header claims another size than its file has.

    Raises:
        ValueError: If it does; NumPy would make room for all that is claimed.
    """
    with file.open(member) as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            return  # No array: refused by name, later.
        stream.seek(0)
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if not read:
            raise ValueError(f"{quote(member.filename)} is of {version}")
        shape, _, dtype = read(stream)
        size = math.prod(shape) * dtype.itemsize
        rest = member.file_size - stream.tell()
    if size != rest and not dtype.hasobject:
        raise ValueError(
            f"{quote(member.filename)} claims {size:,} bytes and has {rest:,}"
        )


def _take(
    path: str,
    arrays: Mapping[str, np.ndarray],
    names: tuple[str, ...],
    suffix: str,
    labelled: bool,
) -> MemorySplit | None:
    """Returns one split of a file's arrays, None if it is not there."""
    keys = {name: f"{name}{suffix}" for name in names}
    if len(names) == 1 and keys[names[0]] not in arrays:
        keys = {names[0]: f"x{suffix}"}
    label = f"{LABELS}{suffix}"
    if not any(key in arrays for key in keys.values()):
        return None
    missing = [key for key in keys.values() if key not in arrays]
    if missing or (labelled and label not in arrays):
        raise InputError(
            f"{path} must hold {missing[0] if missing else label} too: "
            f"{_expected(names, labelled)}. For data without labels pass "
            "--calibration instead of --dataset."
        )
    features = {name: arrays[key] for name, key in keys.items()}
    lengths = {len(array) if array.ndim else 0 for array in features.values()}
    if labelled:
        lengths.add(len(arrays[label]) if arrays[label].ndim else 0)
    if len(lengths) > 1 or min(lengths) < (FEWEST if not suffix else 1):
        raise InputError(
            f"{path} must have as many labels as examples, {FEWEST} or more; "
            f"received {sorted(lengths)}."
        )
    labels = arrays[label] if labelled else np.zeros(min(lengths), np.float32)
    only = features[names[0]] if len(names) == 1 else features
    return MemorySplit(only, labels)


def _expected(names: tuple[str, ...], labelled: bool) -> str:
    """Says what a `.npz` file must hold."""
    wanted = ["x"] if len(names) == 1 else list(names)
    return " and ".join(wanted + [LABELS] * labelled)
