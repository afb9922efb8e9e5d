"""The page of the most suspicious transactions and their reasons."""

import json
import types

import numpy as np
import pytest

from apps.fraud_detect import explanations, predict
from apps.fraud_detect.config import Config
from common.explanation import page


@pytest.fixture
def scorer(monkeypatch):
    """Stands for a release that flags every fourth of the transactions."""
    num = page.MOST + 50
    raw = np.arange(num, dtype=np.float32)[:, None]

    def score(part: np.ndarray) -> dict[str, np.ndarray]:
        place = part[:, 0]
        reasons = [[f"<i>{x:.0f}".encode(), b"amount", b""] for x in place]
        return {
            "score": place / num, "is_fraud": place % 4 == 0,
            "reasons": np.array(reasons, object),
        }  # fmt: skip

    monkeypatch.setattr(
        explanations.evaluation, "use",
        lambda config, app: types.SimpleNamespace(served=None, config=config),
    )  # fmt: skip
    monkeypatch.setattr(predict, "scorer_as_given", lambda *_: score)
    ids = np.array([f"<b>{place}" for place in range(num)])
    monkeypatch.setattr(predict, "read", lambda *_: (ids, raw, ["<note>"]))


def test_the_page_has_the_highest_scores_and_their_reasons(
    scorer, tmp_path, capsys
) -> None:
    why, output = tmp_path / "why.html", tmp_path / "why.json"
    explanations.run(
        Config(
            mode="explain", inputs="x.csv", page=str(why), output=str(output)
        )
    )
    assert len(json.loads(output.read_text())) == page.MOST + 50
    text = why.read_text("utf-8")
    assert text.count("<h2") == page.MOST
    last = page.MOST + 49
    first = text.index(f"Transaction &lt;b&gt;{last}")
    assert first < text.index(f"Transaction &lt;b&gt;{last - 1}")
    assert "Transaction &lt;b&gt;49<" not in text
    assert f"&lt;i&gt;{last}, amount" in text
    assert "&lt;note&gt;" in text and "not the int8 file" in text
    assert not {"<b>1", "<i>2", "<note>"} & set(text.split())
    assert "63 of 250 flagged; shown: 20" in capsys.readouterr().out


def test_without_a_page_only_the_table_is_printed(
    scorer, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    explanations.run(Config(mode="explain", inputs="x.csv"))
    assert "amount" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
