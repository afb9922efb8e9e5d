"""Real data: MovieLens 100K, with the floors that the README stands on."""

import pytest

pytestmark = pytest.mark.large
APP = "recommender"
DATA = "movielens/100k-ratings"


def best_baseline(result: dict) -> float:
    return max(row["metrics"]["ndcg@10"] for row in result["baselines"])


def test_leave_last_out(run) -> None:
    result = run(
        "recommender_movielens_leave_last_out.flags",
        epochs=8, finetune_epochs=1,
        variants=("float32", "int8", "prune+int8"),
    )  # fmt: skip
    assert result["dataset"]["test"] == 943
    ndcg = result["metrics"]["test"]["ndcg@10"]
    assert ndcg > max(0.065, best_baseline(result))
    plain = result["variants"][0]
    (chosen,) = (row for row in result["variants"] if row["chosen"])
    assert chosen["drop"] <= 0.005
    assert plain["gzip_bytes"] >= 4 * chosen["gzip_bytes"]


@pytest.mark.by_hand
def test_random_75_25(run) -> None:
    result = run(
        "recommender_movielens_random_75_25.flags",
        epochs=40, variants=("float32",), baselines=False,
    )  # fmt: skip
    assert result["metrics"]["test"]["ndcg@10"] >= 0.478
