"""What the report of the app is about, in words."""

from common.data.splits import Splits
from common.report.summary import Subject

from .config import Config


def of(config: Config, splits: Splits) -> Subject:
    """Returns the words for a classifier of images."""
    return Subject(
        title="Image classification",
        model=config.model,
        examples="images",
        task=f"which of {len(splits.class_names)} classes an image shows",
        use=f"It tells which of {len(splits.class_names)} classes an image "
        "shows, on a server or on a phone.",
        limits=(
            "Every image gets one of these classes, and only one: also an "
            "image that shows none of them, or several.",
        ),
    )
