"""`.keras` files of Keras 2.12 to 2.14, which later versions cannot read.

Their weights are grouped by other names than those of Keras 2.15.
"""

import collections
import io
import re
import zipfile
from pathlib import Path

import h5py

WEIGHTS = "model.weights.h5"
_OLD, _NEW = "_layer_checkpoint_dependencies", "layers"


def is_old(path: str) -> bool:
    """Tells whether the weights of a file are grouped by the old names.

    Args:
        path: A whole `.keras` or `.h5` file.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as file:
        weights = io.BytesIO(file.read(WEIGHTS))
    with h5py.File(weights) as stored:
        return _OLD in stored


def renew(path: str, target: Path) -> None:
    """Writes a copy of a file that Keras 2.15 and later can read.

    Args:
        path: A `.keras` file whose weights are grouped by the old names.
        target: The copy.
    """
    with zipfile.ZipFile(path) as file, zipfile.ZipFile(target, "w") as copy:
        weights = io.BytesIO(file.read(WEIGHTS))
        with h5py.File(weights, "r+") as stored:
            _rename(stored)
        for name in file.namelist():
            is_weights = name == WEIGHTS
            content = weights.getvalue() if is_weights else file.read(name)
            copy.writestr(name, content)


def _rename(group: h5py.Group) -> None:
    """Gives the groups of layers their new names, those of nested models too.

    Layers are called by their class and a number. Keras 2.13 counted a layer
    with weights twice, so that the numbers have gaps.
    """
    for item in list(group.values()):
        if isinstance(item, h5py.Group):
            _rename(item)
    if _OLD not in group:
        return
    group.move(_OLD, _NEW)
    numbers: dict[str, list[int]] = collections.defaultdict(list)
    for name in group[_NEW]:
        kind, number = _parts(name)
        numbers[kind].append(number)
    for kind, known in numbers.items():
        for new, old in enumerate(sorted(known)):
            if new != old:  # The smaller names are free by then.
                group[_NEW].move(_name(kind, old), _name(kind, new))


def _parts(name: str) -> tuple[str, int]:
    """Returns the class and the number in the name of a group."""
    match = re.fullmatch(r"(.+)_(\d+)", name)
    return (match[1], int(match[2])) if match else (name, 0)


def _name(kind: str, number: int) -> str:
    """Returns the name of a group."""
    return f"{kind}_{number}" if number else kind
