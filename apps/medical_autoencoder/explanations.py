"""Explanations: where a picture differs from normal ones.

The release computes the heat map itself, beside the score.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common import console
from common.data import folders
from common.explanation import overlays, page
from common.release import evaluation

from . import panels, pictures, predict
from .config import APP, Config

NOTES = (
    "Research software, no medical device: not for decisions about patients.",
    "A heat map shows where the model does not rebuild the picture as it "
    "rebuilds normal ones; heat that is usual in normal pictures is left out. "
    "The SavedModel, which computes in float, is explained, not the int8 file, "
    "unless --variant names a file.",
)


def run(config: Config) -> None:
    """Shows heat maps of the pictures that `--inputs` names on a page."""
    page.check(config, of_network=False)
    use = evaluation.use(config, APP)
    released = predict.Released(use.served, config.variant)
    folder = folders.make(config.overlays, "overlays")
    page.show(
        use.config,
        "Where the pictures are unusual",
        NOTES,
        _explained(released, use.config, folder),
    )
    console.get().print(NOTES[0])


def _explained(
    released: predict.Released, config: Config, folder: Path | None
) -> Iterator[page.Example]:
    """Yields each picture's explanation, in the size of the model's images."""
    for case in predict.cases(released, config, folder):
        shown = {"image": case.fitted}
        if "heatmap" in case.outputs:
            shown["heat map"] = panels.overlay(
                case.fitted,
                case.outputs["heatmap"],
                released.facts["usual_heat"],
            )
        else:
            shown["denoised"] = np.asarray(case.outputs["reconstruction"])
        yield page.Example(
            case.row["file"],
            [case.row],
            {key: x for key, x in case.row.items() if key != "file"},
            pictures={
                name: pictures.encode(overlays.enlarged(image))
                for name, image in shown.items()
            },
        )
