"""The files of the page that runs a release's TFLite file in a browser.

The page itself, in `web/`, and LiteRT.js are the same for every release; what
it is about are the files of the release and `page.json`.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.mobile import files, litert, measurement
from common.options import InputError
from common.release.models_config import EXAMPLE, EXTRA
from common.report import report, strict_json

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"
PACKAGES = WEB / "node_modules" / "@litertjs"
# The build of LiteRT.js that needs no special headers: see `web/model.js`.
RUNTIME = "litert_wasm_compat_internal"
# The name on the page, and the file of an npm package.
LITERT = {
    "litert/core.js": "core/dist/index.js",
    "litert/wasm-utils.js": "wasm-utils/dist/index.js",
    f"litert/{RUNTIME}.js": f"core/wasm/{RUNTIME}.js",
    f"litert/{RUNTIME}.wasm": f"core/wasm/{RUNTIME}.wasm",
}
DESCRIPTION = "page.json"

# A file to copy, or its content.
Contents = Mapping[str, Path | bytes]


def contents(release: Path, variant: str, is_live: bool) -> Contents:
    """Returns every file of the page by its path on the page.

    Args:
        release: The release's directory, which was checked.
        variant: The name of the TFLite file, such as `int8`; "" for the chosen
            one.
        is_live: Whether a server answers for the SavedModel.

    Raises:
        InputError: If LiteRT.js is not installed, or the release lacks a file.
    """
    pages = [*WEB.glob("*.js"), *WEB.glob("*.css"), *WEB.glob("*.html")]
    model = files.variant(release, variant or "model")
    beside: dict[str, Path | bytes] = {
        path.name: path
        for path in sorted(model.parent.iterdir())
        if path.is_file() and path.suffix in (".txt", ".json", ".csv")
    }
    example = release / EXTRA / EXAMPLE
    if example.is_file():
        # A feature that is missing is NaN there, which no browser reads.
        with files.reading(example):
            request = json.loads(example.read_bytes())
            beside[EXAMPLE] = strict_json.dumps(request).encode()
    facts = describe(release, model) | {
        "files": list(beside),
        "saved_model": is_live,
    }
    return {
        **{path.name: path for path in sorted(pages)},
        **_litert(),
        **{f"release/{name}": path for name, path in beside.items()},
        f"release/{model.name}": model,
        DESCRIPTION: json.dumps(facts, indent=1).encode(),
    }


def describe(release: Path, model: Path) -> dict[str, Any]:
    """Returns what the page must know of a release and of its TFLite file.

    Raises:
        InputError: If the report is damaged, or LiteRT cannot read the file.
    """
    facts = report.read(release)
    content = model.read_bytes()
    try:
        runner = litert.Runner(content)
    except (litert.LoadError, ValueError) as error:
        raise InputError(
            f"--release must have a file that LiteRT can run; {model}: {error}."
        ) from None
    with files.reading(release / "report" / "report.json"):
        return {
            "app": facts["app"],
            "version": release.resolve().name,
            "dataset": facts["dataset"]["name"],
            "file": model.name,
            "bytes": len(content),
            "background": facts["config"].get("background", "white"),
            "signatures": facts["serving"]["signatures"],
            "keeps_state": litert.inspect(content).stateful,
            "inputs": _tensors(runner.inputs),
            "outputs": _tensors(runner.outputs),
        }


def save(pages: Contents, folder: Path) -> None:
    """Writes the page as a folder, whole or not at all.

    Args:
        pages: From `contents`.
        folder: A folder that does not exist, or is empty.

    Raises:
        InputError: If there is something else at that place.
        OSError: If the folder cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"--output must be a new or an empty folder; {folder} is not."
        )
    folder = folder.resolve()
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        for name, content in pages.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(read(content))
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read(content: Path | bytes) -> bytes:
    """Returns the content of a file of the page."""
    return content if isinstance(content, bytes) else content.read_bytes()


def _litert() -> dict[str, Path]:
    """Returns the files of LiteRT.js, and the licence of both, by their path.

    Raises:
        InputError: If they are not installed.
    """
    paths = {name: PACKAGES / file for name, file in LITERT.items()}
    for path in paths.values():
        if not path.is_file():
            raise InputError(
                "the page needs LiteRT.js, which is not installed: there is no "
                f"{path.relative_to(ROOT)}. Run `make demo-page`, which gets "
                "it by npm."
            )
    return {**paths, "LICENSE": ROOT / "LICENSE"}


def _tensors(details: Mapping[str, Any]) -> dict[str, Any]:
    """Returns shape, dtype, scale and zero point of tensors by name."""
    return {name: measurement.describe(row) for name, row in details.items()}
