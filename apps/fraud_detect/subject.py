"""What the report of the app is about, in words."""

from common.report.summary import Subject

from .config import Config

TERMS = {
    "auc_roc": "the chance that a fraud gets a higher score than an honest "
    "transaction; 0.5 is guessing",
    "average_precision": "the mean precision from the highest score down; 1 if "
    "all frauds rank first",
    "precision": "the share of frauds among the alerts",
    "recall": "the share of the frauds that raised an alert",
    "alerts_per_day": "the mean number of transactions that are flagged",
    "cost_per_day": "what missed frauds and alerts cost, by the settings "
    "miss_cost and alert_cost",
    "threshold": "the score from which on a transaction is flagged, set on "
    "validation for the daily number of alerts",
}


def of(config: Config) -> Subject:
    """Returns the words for a detector of frauds."""
    top = config.top_cards
    return Subject(
        title="Fraud detection",
        model=config.model,
        examples="transactions",
        task="how suspicious a transaction is",
        use="It ranks card transactions by how suspicious they are, so that "
        "people look at the first; its threshold was set on validation for "
        f"{config.alerts:g} alerts a day.",
        limits=(
            "The score ranks transactions: it was not checked to be the "
            "probability of a fraud.",
            "The reasons that it names are quantities that raised the score, "
            "not causes.",
            "Frauds of a kind that the training period did not have were not "
            "measured apart.",
        ),
        terms={
            f"card_precision@{top}": "the share of compromised cards among the "
            f"{top} most suspicious of a day",
            **TERMS,
        },
    )
