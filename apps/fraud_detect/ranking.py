"""Metrics of a ranking by suspicion: scores in, floats out."""

import numpy as np
from sklearn import metrics


def card_precision(
    score: np.ndarray,
    fraud: np.ndarray,
    customer: np.ndarray,
    day: np.ndarray,
    k: int = 100,
) -> float:
    """Returns the part of frauds among the `k` most suspicious cards of a day.

    A card's score is that of its most suspicious transaction of the day; the
    card counts as fraud if any of its transactions that day is. A compromised
    card among the `k` is left out on later days. The result is the mean over
    days. Le Borgne et al., Fraud Detection Handbook,
    2022, section 4.4.

    Args:
        score: `(num,)` floats, more is more suspicious.
        fraud: `(num,)` zeros and ones.
        customer: `(num,)` integers.
        day: `(num,)` integers.
        k: Cards that can be looked at each day.
    """
    caught = np.zeros(int(customer.max()) + 1, bool)
    precisions = []
    for today in np.unique(day):
        rows = np.flatnonzero((day == today) & ~caught[customer])
        cards, card = np.unique(customer[rows], return_inverse=True)
        best = np.full(len(cards), -np.inf)
        np.maximum.at(best, card, score[rows])
        bad = np.zeros(len(cards), bool)
        bad[card[fraud[rows] == 1]] = True
        top = np.argsort(-best, kind="stable")[:k]
        hits = cards[top[bad[top]]]
        caught[hits] = True
        precisions.append(len(hits) / k)
    return float(np.mean(precisions))


def summarize(
    score: np.ndarray,
    fraud: np.ndarray,
    customer: np.ndarray,
    day: np.ndarray,
    k: int = 100,
) -> dict[str, float]:
    """Returns the metrics that need no threshold.

    The two metrics of the ranking of transactions are left out if all
    transactions are frauds, or none is. Card precision is left out if there are
    fewer cards than `k`, or if every row is a card of its own.

    Args:
        score: `(num,)` floats, more is more suspicious.
        fraud: `(num,)` zeros and ones.
        customer: `(num,)` integers.
        day: `(num,)` integers.
        k: Cards that can be looked at each day.
    """
    figures = {}
    if 0 < fraud.sum() < len(fraud):
        figures = {
            "average_precision": float(
                metrics.average_precision_score(fraud, score)
            ),
            "auc_roc": float(metrics.roc_auc_score(fraud, score)),
        }
    if k <= len(np.unique(customer)) < len(customer):
        precision = card_precision(score, fraud, customer, day, k)
        figures[f"card_precision@{k}"] = precision
    return figures


def threshold(score: np.ndarray, day: np.ndarray, alerts: float) -> float:
    """Returns the threshold that gives `alerts` alerts a day.

    If many transactions share a score, as those of int8 files do, no threshold
    may give that number; the result is then the one that comes nearest.

    Args:
        score: `(num,)` floats.
        day: `(num,)` integers.
        alerts: Transactions to flag each day, on average.
    """
    num_days = len(np.unique(day))
    wanted = min(max(int(alerts * num_days), 1), len(score))
    limit = np.partition(score, -wanted)[-wanted]
    above = score[score > limit]
    surplus = int(np.sum(score >= limit)) - wanted
    if len(above) and surplus > wanted - len(above):
        limit = above.min()
    return float(limit)


def at_threshold(
    score: np.ndarray, fraud: np.ndarray, day: np.ndarray, threshold: float
) -> dict[str, float]:
    """Returns precision, recall and alerts a day at a threshold.

    Args:
        score: `(num,)` floats.
        fraud: `(num,)` zeros and ones.
        day: `(num,)` integers.
        threshold: Transactions with this score or more are flagged.
    """
    flagged = score >= threshold
    hits = float(np.sum(fraud[flagged]))
    return {
        "precision": hits / max(int(flagged.sum()), 1),
        "recall": hits / max(int(fraud.sum()), 1),
        "alerts_per_day": float(flagged.sum() / len(np.unique(day))),
    }


def cost_curve(
    score: np.ndarray,
    fraud: np.ndarray,
    day: np.ndarray,
    miss_cost: float,
    alert_cost: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cost of each possible number of alerts.

    Args:
        score: `(num,)` floats.
        fraud: `(num,)` zeros and ones.
        day: `(num,)` integers.
        miss_cost: The cost of a fraud that is not flagged.
        alert_cost: The cost of looking at an alert.

    Returns:
        Alerts a day and cost a day, `(num + 1,)` each, from none to all.
    """
    num_days = len(np.unique(day))
    caught = np.cumsum(fraud[np.argsort(-score, kind="stable")])
    caught = np.concatenate([[0], caught])
    alerts = np.arange(len(score) + 1)
    cost = (int(fraud.sum()) - caught) * miss_cost + alerts * alert_cost
    return alerts / num_days, cost / num_days
