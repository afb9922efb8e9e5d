"""What the report of the app is about, in words."""

from common.report.summary import Subject

from .config import Config
from .data import TextSplits


def of(config: Config, splits: TextSplits) -> Subject:
    """Returns the words for a classifier of texts."""
    network = "bidirectional LSTM" if config.bidirectional else "LSTM"
    return Subject(
        title="Text classification",
        model=f"{network} with word weights" if config.num_pairs else network,
        examples="texts",
        task=f"which of {len(splits.class_names)} classes a text belongs to",
        use=f"It tells which of {len(splits.class_names)} classes a text "
        "belongs to, on a server or on a phone.",
        limits=(
            "Every text gets one of these classes, also a text of another "
            "kind or in another language.",
            f"Of a text of more than {config.max_tokens} tokens the middle is "
            "not read.",
            "Words that training did not see are all alike to it.",
        ),
    )
