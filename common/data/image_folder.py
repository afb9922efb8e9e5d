"""Folders of class folders, with or without split folders above them."""

import re
from pathlib import Path

from common.options import InputError

from . import folders, image_checks, image_listing, splits
from .image_listing import ALL, Listing, Row

OUTSIDE = "images outside of class folders"


def listing(root: Path) -> Listing:
    """Returns the files of a folder that a model is trained on.

    Args:
        root: It holds class folders, or split folders that hold them.

    Raises:
        InputError: If the folder has no such structure, or a class folder is
            missing or empty in a split.
    """
    parts = folders.of_splits(root)
    if "train" not in parts:
        _check_names_of_splits(root)
        parts = {ALL: root}
    else:
        _check_flat(root, parts)
    class_names = _class_names(parts.get("train", root))
    rows = {
        key: _list(folder, class_names, root) for key, folder in parts.items()
    }
    return Listing(root, class_names, rows, OUTSIDE)


def _check_names_of_splits(root: Path) -> None:
    """Refuses folders such as `training_set` beside `test_set` as classes.

    Args:
        root: A folder without folders of splits.

    Raises:
        InputError: If the folders of two splits seem to be called so.
    """
    found: dict[str, Path] = {}
    for folder in folders.of_classes(root):
        words = re.findall("[a-z]+", folder.name.lower())
        for split, names in folders.SPLIT_NAMES.items():
            if not set(words).isdisjoint(names) and folders.of_classes(folder):
                found.setdefault(split, folder)
    if len(found) > 1:
        order = [split for split in folders.SPLIT_NAMES if split in found]
        named = " and ".join(found[split].name for split in order)
        raise InputError(
            f"--dataset must have classes or splits in its folders, by their "
            f"names; {root} has {named}, which hold folders. If they are "
            f"splits, rename them {' and '.join(order)}."
        )


def _check_flat(root: Path, parts: dict[str, Path]) -> None:
    """Refuses a split folder of images alone beside others with classes.

    Args:
        root: The folder of the data set.
        parts: The folders of splits that have class folders.

    Raises:
        InputError: If there is one; its images have no label.
    """
    for split, folder in folders.of_splits(root, with_classes=False).items():
        if split not in parts and folders.files(folder, image_checks.is_image):
            raise InputError(
                f"--dataset must have class folders in every split folder; "
                f"{folder} has only images. Sort them into class folders, or "
                "move them elsewhere."
            )


def known(root: Path, classes: tuple[str, ...]) -> tuple[Listing, str]:
    """Returns the files of a folder that only evaluates a release.

    Args:
        root: A folder that holds folders of some of the classes, or split
            folders that hold such folders.
        classes: The names of the release's classes.

    Returns:
        The files, all under `ALL`, and the part of the data that they are:
        `splits.TEST` or `splits.ALL`.

    Raises:
        InputError: If the folder has other classes.
    """
    parts, judged = judged_folders(root, classes)
    rows = [row for part in parts for row in _list_known(part, classes, root)]
    unlisted = image_listing.NOT_IN_TEST if judged == splits.TEST else OUTSIDE
    return Listing(root, classes, {ALL: rows}, unlisted), judged


def judged_folders(
    root: Path, classes: tuple[str, ...] = ()
) -> tuple[list[Path], str]:
    """Returns the folders to evaluate, and `splits.TEST` or `splits.ALL`.

    A folder with a test split is evaluated on that split, any other folder on
    all its files.

    Args:
        root: The folder.
        classes: The names of classes; a folder of such a name is no split.
    """
    parts = folders.of_splits(root, classes)
    if "test" in parts:
        return [parts["test"]], splits.TEST
    return list(parts.values()) or [root], splits.ALL


def _list_known(
    folder: Path, classes: tuple[str, ...], root: Path
) -> list[Row]:
    """Returns the image files of the known classes in a folder."""
    names = {path.name for path in folders.of_classes(folder)}
    unknown = sorted(names - set(classes))
    if unknown or not names:
        raise InputError(
            f"--dataset must have folders of the release's classes, "
            f"{', '.join(classes)}; {folder} has "
            f"{repr(unknown[0]) if unknown else 'no folder'}."
        )
    return [
        row
        for label, name in enumerate(classes)
        if name in names
        for row in _rows(folder / name, label, root)
    ]


def _class_names(folder: Path) -> tuple[str, ...]:
    """Returns the names of the class folders, sorted."""
    names = tuple(path.name for path in folders.of_classes(folder))
    if {name.lower() for name in names} <= {*folders.MASKS, *folders.IMAGES}:
        raise InputError(
            f"--dataset must hold class folders; {folder} holds "
            f"{', '.join(names) or 'none'}. With a table of labels, pass "
            "--labels."
        )
    if len(names) < 2:
        raise InputError(
            f"--dataset must hold at least two class folders; {folder} holds "
            f"{len(names)}."
        )
    image_listing.check_names(names, f"class folders in {str(folder)!r}")
    return names


def _list(folder: Path, class_names: tuple[str, ...], root: Path) -> list[Row]:
    """Returns every image file of a split, sorted by class and path."""
    names = set(_class_names(folder))
    for other, verb in (
        (names - set(class_names), "also has"),
        (set(class_names) - names, "lacks"),
    ):
        if other:
            raise InputError(
                f"--dataset must have the same class folders in every split; "
                f"{folder} {verb} {', '.join(sorted(other))}."
            )
    rows = []
    for label, name in enumerate(class_names):
        own = _rows(folder / name, label, root)
        if not own:
            raise InputError(
                f"--dataset must have images in every class folder; "
                f"{folder / name} has none "
                f"({', '.join(image_checks.SUFFIXES)})."
            )
        rows += own
    return rows


def _rows(folder: Path, label: int, root: Path) -> list[Row]:
    """Returns the image files below a class folder, sorted."""
    return [
        Row(str(path), label, path.relative_to(root).as_posix())
        for path in folders.files(folder, image_checks.is_image)
    ]
