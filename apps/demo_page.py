"""Runs a release's TFLite file in the browser, on a page of this machine.

The page takes an image, a text, items, a row or plain numbers, and shows the
answer of the phone's file, its time, and the SavedModel's answer beside it.

  python -m apps.demo_page --release=saved_models/image_classify/1

With --output the page is written as a folder for any static host, where the
phone's file answers alone. `make demo-page` must have got LiteRT.js once.
"""

import dataclasses
from pathlib import Path

from common import console, flags, runtime
from common.options import Checked, InputError, option


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    """Options of the page."""

    release: str = option("", "the release's directory.")
    variant: str = option(
        "", "the TFLite file, such as int8; the chosen one by default."
    )
    output: str = option(
        "", "a new folder to write the page to, instead of serving it."
    )
    host: str = option("127.0.0.1", "the address to listen on.")
    port: int = option(
        8600, "the port; 0 for any that is free.", minimum=0, maximum=65535
    )


def main(settings: Config) -> None:
    """Writes the page, or serves it until SIGINT or SIGTERM."""
    if not settings.release:
        raise InputError(
            "--release must be a release directory, such as "
            "saved_models/image_classify/1; none was given."
        )
    runtime.start(seed=0)
    # They import TensorFlow.
    from common.release import export, saved_model
    from common.serving import page_files, page_server

    release = export.find(settings.release, "", "")
    is_live = not settings.output
    pages = page_files.contents(release, settings.variant, is_live)
    terminal = console.get()
    if not is_live:
        page_files.save(pages, Path(settings.output))
        terminal.print(f"written: {settings.output}, for any static host")
        return
    model = saved_model.Model(release)
    with page_server.serving(
        pages, model, settings.host, settings.port
    ) as port:
        terminal.print(f"page  http://{settings.host}:{port}/")
        runtime.wait_for_signal()
    terminal.print("stopped")


if __name__ == "__main__":
    flags.launch(main, Config)
