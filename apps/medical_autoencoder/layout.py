"""Which files of a folder are images, of which class and split, and masks.

Folders are as people have them: class folders with or without split folders
above them, and the layout of anomaly sets such as MVTec AD, whose `train` has
normal images only, whose `test` has a folder for each defect, and whose
`ground_truth` has the masks.
"""

import collections
import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from common.data import folders
from common.data.splits import ALL, TEST
from common.options import InputError

from . import pictures

NORMAL_NAMES = ("normal", "good", "ok")
ABNORMAL_NAME = "abnormal"
GROUND_TRUTH = ("ground_truth", "groundtruth")
MASK_FOLDERS = (*GROUND_TRUTH, *folders.MASKS)
# A mask's name ends so, as do those of further masks of the same image.
MASK = re.compile(r"(?P<image>.+)[_-](?:mask|seg)(?:_\d+)?", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Listed:
    """A file of a folder, not yet read.

    Attributes:
        path: The file.
        label: 0 normal, 1 abnormal.
        split: The name of the split folder that it is in, or "".
        class_name: The name of its class folder, in small letters, or "".
        masks: The files that mark what is abnormal in it.
    """

    path: Path
    label: int
    split: str = ""
    class_name: str = ""
    masks: tuple[Path, ...] = ()


def of_training(
    root: Path, normal_label: str
) -> tuple[list[Listed], tuple[str, ...]]:
    """Lists the images of a folder to train on, sorted.

    Args:
        root: See `folder.load`.
        normal_label: The name of the folder of normal images; "" for one of
            `NORMAL_NAMES`.

    Returns:
        The files, and notes of what was left out.

    Raises:
        InputError: If the folder has another structure, or no images.
    """
    parts = _split_folders(root) or {"": root}
    if "" not in parts and "train" not in parts:
        raise InputError(
            f"--dataset must have a folder train that holds class folders, if "
            f"it has split folders; {root} has only {', '.join(parts)}."
        )
    listed, notes = _list(root, parts, normal_label)
    _check_classes(listed)
    return listed, notes


def of_judging(
    root: Path, normal_label: str
) -> tuple[list[Listed], tuple[str, ...], str]:
    """Lists the images of a folder that only evaluates a release.

    Args:
        root: Of a root with a folder `test`, only that is listed.
        normal_label: See `of_training`.

    Returns:
        The files, notes, and what was listed: `TEST` or `ALL` of `splits`.
    """
    parts, judged = _split_folders(root) or {"": root}, ALL
    if "test" in parts:
        parts, judged = {"test": parts["test"]}, TEST
    listed, notes = _list(root, parts, normal_label, may_lack_normal=True)
    return listed, notes, judged


def _split_folders(root: Path) -> dict[str, Path]:
    """Returns the folders of splits, by split; {} if there are none.

    All of them hold class folders, or all hold images only. Of the latter,
    a folder beside one that is no split's is a class.

    Raises:
        InputError: If some hold class folders and others hold images only.
    """
    parts = folders.of_splits(root)
    named = folders.of_splits(root, with_classes=False)
    if not parts:
        are_all = len(named) == len(_class_folders(root)) > 1
        return named if are_all and "train" in named else {}
    for split, folder in named.items():
        if split not in parts and folders.files(folder, pictures.is_picture):
            raise InputError(
                f"--dataset must have class folders in every split folder, or "
                f"in none; {folder} has only images, and "
                f"{next(iter(parts.values()))} has class folders."
            )
    return parts


def _class_folders(folder: Path) -> list[Path]:
    """Returns the folders in a folder that are not of masks, sorted."""
    return [
        path
        for path in folders.of_classes(folder)
        if path.name.lower() not in MASK_FOLDERS
    ]


def _list(
    root: Path,
    parts: dict[str, Path],
    normal_label: str,
    may_lack_normal: bool = False,
) -> tuple[list[Listed], tuple[str, ...]]:
    """Lists the images of split folders, with their masks, and notes."""
    listed, drawn = [], _ground_truth(root)
    all_masks = {path for own in drawn.values() for path in own}
    for split, part in parts.items():
        is_test = split in ("", "test")
        for class_name, label, class_folder in _classes(
            part, normal_label, may_lack_normal
        ):
            paths, masks = images_of(_pictures(class_folder))
            all_masks.update(masks)
            beside = _by_image(masks)
            for path in paths:
                place = path.parent / pictures.stem(path)
                own = beside.get(place, [])
                if is_test:
                    own = [*own, *drawn.get(_key(place, part), [])]
                listed.append(
                    Listed(path, label, split, class_name, tuple(own))
                )
    check_any(root, listed)
    return listed, (
        *_left_out(root, {file.path for file in listed}, all_masks),
        *_on_masks(listed, len(all_masks)),
    )


def _left_out(root: Path, listed: set[Path], masks: set[Path]) -> list[str]:
    """Returns notes of the files that are not used, if any.

    Args:
        root: The folder.
        listed: Its images that are used.
        masks: The masks, to which those are added that are in other folders of
            masks.
    """
    kinds, num_images = folders.passed_over(root), 0
    used = listed | masks
    for path in folders.files(root, lambda path: path not in used):
        parts = path.relative_to(root).parts[:-1]
        if not pictures.is_picture(path):
            kinds[path.suffix.lower() or "without a suffix"] += 1
        elif any(part.lower() in MASK_FOLDERS for part in parts):
            masks.add(path)
        else:
            num_images += 1
    counts = ", ".join(f"{num:,} {kind}" for kind, num in kinds.most_common())
    notes = [f"left out {counts}: no images by their names"] if counts else []
    if num_images:
        notes.append(
            f"left out {num_images:,} images outside of the folders that are "
            "read"
        )
    return notes


def _on_masks(listed: list[Listed], num_masks: int) -> list[str]:
    """Returns notes on masks, if there are any."""
    if not num_masks:
        return []
    notes = [f"left out {num_masks} masks, which are no images"]
    unused = num_masks - sum(len(file.masks) for file in listed)
    if unused:
        notes.append(f"{unused} of the masks belong to no image by their names")
    return notes


def check_any(root: Path, files: Sequence[Any]) -> None:
    """Refuses an empty list of images: of files listed or of files read."""
    if not files:
        raise InputError(
            f"--dataset must hold images, DICOM or NIfTI files; {root} has "
            "none."
        )


def _classes(
    folder: Path, normal_label: str, may_lack_normal: bool
) -> list[tuple[str, int, Path]]:
    """Returns the name, the label and the folder of each class.

    Args:
        folder: It holds class folders, or images, all taken to be normal.
        normal_label: See `of_training`.
        may_lack_normal: Whether a folder named abnormal may be the only one.
    """
    classes = _class_folders(folder)
    if not classes:
        return [("", 0, folder)]
    names = {path.name.lower() for path in classes}
    wanted = {normal_label.lower()} if normal_label else {*NORMAL_NAMES}
    # A single folder of any other name may hold normal images.
    only_abnormal = may_lack_normal and names == {ABNORMAL_NAME}
    if len(names & wanted) != 1 and not only_abnormal:
        raise InputError(
            f"--normal_label must name one of the folders in {folder}: "
            f"{', '.join(path.name for path in classes[:20])}; received "
            f"{normal_label!r}. Without the option, just one of them must be "
            f"called {' or '.join(NORMAL_NAMES)}."
        )
    return [
        (path.name.lower(), int(path.name.lower() not in wanted), path)
        for path in classes
    ]


def _check_classes(listed: Iterable[Listed]) -> None:
    """Refuses an abnormal class that is in a single split.

    In an anomaly set, where train has normal images only, classes may be.
    """
    splits_of = collections.defaultdict(set)
    for file in listed:
        splits_of[file.class_name, file.label].add(file.split)
    given = set().union(*splits_of.values())
    trained = {
        name for (name, label), keys in splits_of.items()
        if label and "train" in keys
    }  # fmt: skip
    if len(given) < 2 or not trained:
        return
    for (name, label), keys in sorted(splits_of.items()):
        if label and len(keys) == 1:
            raise InputError(
                f"--dataset must have every class in more than one split, or "
                f"normal images only in train; the class {name!r} is only in "
                f"{next(iter(keys))}."
            )


def _pictures(folder: Path) -> list[Path]:
    """Returns the pictures below a folder that are in no folder of masks."""
    return [
        path
        for path in folders.files(folder, pictures.is_picture)
        if not any(
            part.lower() in MASK_FOLDERS
            for part in path.relative_to(folder).parts[:-1]
        )
    ]


def images_of(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Returns the files that are images, and those that are masks of images.

    Where all files of a folder have names of masks, they are images.
    """
    paths = list(paths)
    named = {path for path in paths if MASK.fullmatch(pictures.stem(path))}
    with_images = {path.parent for path in paths if path not in named}
    masks = [path for path in paths
             if path in named and path.parent in with_images]  # fmt: skip
    return sorted(set(paths) - set(masks)), masks


def _by_image(masks: Iterable[Path]) -> dict[Path, list[Path]]:
    """Returns masks by the path, without suffix, of their image."""
    by_image = collections.defaultdict(list)
    for path in masks:
        name = pictures.stem(path)
        match = MASK.fullmatch(name)
        by_image[path.parent / (match["image"] if match else name)].append(path)
    return by_image


def _ground_truth(root: Path) -> dict[str, list[Path]]:
    """Returns the masks in the folder `ground_truth`; see `_key`.

    They are called as their image is, or are in a folder that is.
    """
    drawn: dict[str, list[Path]] = collections.defaultdict(list)
    for truth in folders.of_classes(root):
        if truth.name.lower() not in GROUND_TRUTH:
            continue
        paths = folders.files(truth, pictures.is_picture)
        for place, masks in _by_image(paths).items():
            for name in {place, place.parent} - {truth}:
                drawn[_key(name, truth)] += masks
    return dict(drawn)


def _key(place: Path, folder: Path) -> str:
    """Returns the path of an image in a folder, which its mask shares."""
    return place.relative_to(folder).as_posix().lower()
