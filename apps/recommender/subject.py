"""What the report of the app is about, in words."""

from common.report.summary import Subject

from . import quality
from .config import Config
from .protocols import Protocol

TERMS = {
    "ndcg@{k}": "how many of the held-out items are among the first {k} of a "
    "list, and how early; 1 is all of them in front",
    "hr@{k}": "the share of users with a held-out item among the first {k}",
    "recall@{k}": "the share of a user's held-out items among the first {k}",
    "mrr@{k}": "one over the place of the first held-out item, 0 beyond {k}",
    "coverage@{k}": "the share of all items that are in the first {k} of some "
    "list",
    "popularity@{k}": "how popular the items in the first {k} are; 1 is the "
    "most popular item, 0.5 is no preference",
}


def of(config: Config, protocol: Protocol) -> Subject:
    """Returns the words for a recommender."""
    return Subject(
        title="Recommendation",
        model=config.model,
        examples="interactions",
        task="which item a user takes next",
        data=protocol.data.name,
        judged="users",
        use="It lists items that a user may take next, by the user's id or by "
        "the items that were taken before.",
        limits=(
            "Only items that are in the training data are recommended.",
            "A user who is not known, and a list without a known item, get "
            "the most popular items.",
            "The figures are of interactions of the past, which depend on "
            "what people were shown then: what users take from these lists "
            "was not measured.",
        ),
        terms={
            name.format(k=k): text.format(k=k)
            for k in quality.CUTOFFS
            for name, text in TERMS.items()
        },
    )
