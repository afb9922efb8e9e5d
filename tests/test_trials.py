"""Trials: what training tells them, and what publishing leaves out."""

import keras

from common.release import publishing
from common.training import trials


def test_training_tells_the_first_fit_that_watches_the_metric() -> None:
    told = []
    judged = trials.Trial("val_a", lambda *values: told.append(values))
    assert trials.callbacks("val_a") == []
    with trials.judged(judged):
        assert trials.callbacks("val_loss") == []  # As an autoencoder's before.
        (tell,) = trials.callbacks("val_a")
        assert trials.callbacks("val_a") == []  # A later fold's.
    assert isinstance(tell, keras.callbacks.Callback)
    tell.on_epoch_end(2, {"val_a": 0.5, "loss": 9})
    assert told == [(2, 0.5)] and trials.current() is None


def publish(judged: trials.Trial) -> dict:
    """Publishes a toy as a trial.

    It has neither options nor a model, without which no release is written.
    """
    with trials.judged(judged):
        return publishing.publish(
            "toy", None, None, None,
            signatures={},
            write_mobile=lambda folder: [
                {"name": "int8", "metric": 0.1, "valid_metric": 0.2,
                 "gzip_bytes": 9, "bytes": 12}
            ],
            task_metric="accuracy",
            subject="a toy",
            metrics={"valid": {"accuracy": 0.3}, "test": {"accuracy": 0.4}},
            draw=lambda report: [],
            log=None,
        )  # fmt: skip


def test_a_trial_gets_no_figure_of_test_and_no_release() -> None:
    report = publish(trials.Trial(with_files=True))
    assert report["metrics"] == {"valid": {"accuracy": 0.3}}
    assert report["variants"] == [
        {"name": "int8", "valid_metric": 0.2, "gzip_bytes": 9}
    ]
    assert publish(trials.Trial())["variants"] == []
