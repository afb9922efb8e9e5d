"""What the report of the app is about, in words."""

from pathlib import Path

from common.report.summary import Subject

from .config import Config


def of(config: Config) -> Subject:
    """Returns the words for a finished model that was compressed."""
    return Subject(
        title="Compression of a model",
        model=Path(config.model).name,
        verb="was compressed with" if config.dataset else "was quantized with",
        examples="examples",
        task="after it had been trained elsewhere",
        use="It has the purpose of the model that it was made from.",
        limits=(
            "That model was trained elsewhere: whether it has seen the test "
            "examples is not known here.",
        ),
    )
