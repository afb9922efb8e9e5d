"""Explanations: the quantities that raised the score of each transaction.

The release computes them itself, in the output `reasons`: see `explain.py`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from common.explanation import page
from common.release import evaluation, predictions

from . import predict
from .config import APP, Config

NOTES = (
    "Reasons are the quantities that raised the score most, the strongest "
    "first. For a classifier they are its integrated gradients from the mean "
    "honest transaction, for an autoencoder its greatest errors. Explained is "
    "the SavedModel, which computes in float, not the int8 file.",
    f"The page shows the {page.MOST} transactions with the highest scores, or "
    "all if there are fewer.",
)


def run(config: Config) -> None:
    """Explains the scores of a table's rows, the most suspicious on a page."""
    page.check(config, of_network=False)
    use = evaluation.use(config, APP)
    scorer = predict.scorer_as_given(use.served, config)
    options = use.config
    ids, raw, notes = predict.read(
        scorer, options.inputs, options.column_names(),
        options.on_bad_input == "skip",
    )  # fmt: skip
    rows: Iterator[predictions.Row] = predict.rows(scorer, ids, raw)
    if options.output:
        rows = predictions.write(Path(options.output), rows, options.raw_output)
    worst, flagged = predict.worst(rows, page.MOST)
    if options.page:
        # The page is complete when its last row was taken.
        list(
            page.write(
                Path(options.page),
                "Why the transactions got their scores",
                [*NOTES, *notes],
                _explained(worst),
            )
        )
    predict.print_worst(worst[: predict.SHOWN], flagged, len(raw), notes)


def _explained(rows: Sequence[predictions.Row]) -> Iterator[page.Example]:
    """Yields the page's part for each row of `predict.rows`."""
    for row in rows:
        facts = {
            "score": row["score"],
            "flagged": "yes" if row["is_fraud"] else "no",
            "reasons": row["reasons"] or "none",
        }
        yield page.Example(f"Transaction {row['id']}", [row], facts)
