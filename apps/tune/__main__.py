"""The search for the settings of an application that fit your data.

  python -m apps.tune --trials=30 -- apps.image_classify --dataset=photos/
  python -m apps.tune --search='learning_rate=1e-4..1e-2 log, units=16|32|64' \
    -- apps.text_sentiment --dataset=reviews.csv

Each trial trains the application with other values and is judged by the task
metric on validation; no figure of test reaches the search. The same command
continues a search that was stopped; several processes search together. Result:
best.flags, study.json and a page, and with --release_best a release.
"""

from common import flags, runtime

from . import application
from .config import Config


def main(config: Config) -> None:
    """Runs the trials that are left and writes the results."""
    # What is wrong with the options is said before TensorFlow is imported.
    app = application.load(config)
    runtime.start(app.base.seed)
    from . import search

    search.run(config, app)


if __name__ == "__main__":
    flags.launch(main, Config, rest="command")
