"""Fraud detection: from late labels to alerts a day, with reasons.

Data: a table of transactions, a table of ready-made features, or the embedded
simulation. Model: --model. Result: a release with a SavedModel, TFLite files
and a report. The Handbook's P1, three seeds: AP .740, AUC .903, CP@100 .305;
P2, without labels: AP .457, AUC .870, CP@100 .264. P3, four weeks: AP
.724, AUC .886, CP@100 .310.

  python -m apps.fraud_detect --flagfile=apps/flagfiles/NAME.flags
  python -m apps.fraud_detect --mode=predict --inputs=new.csv
"""

from common import console, flags, runtime
from common.options import as_trained, is_given
from common.report import strict_json

from .config import APP, Config


def main(config: Config) -> None:
    """Does what `--mode` says."""
    runtime.start(config.seed)
    # Not before: these import TensorFlow, whose start is prepared now.
    from common.release import evaluation, served
    from common.workers import cluster

    from . import predict, train

    cluster.start(config)
    if config.mode == "train":
        train.run(config)
        return
    asked = served.connect(config, APP)
    scorer = predict.Scorer(asked)
    trained = evaluation.trained_with(asked)
    whole = evaluation.is_whole(config, trained)
    # Given ones choose their own threshold; the release has one for its own.
    alerts = config.alerts if is_given(config, "alerts") else None
    # A release is asked as it was trained: the same columns, the same weeks.
    config = as_trained(config, trained)
    if config.mode == "predict":
        predict.predict_file(
            scorer, config.inputs, config.output, config.columns(),
            config.on_bad_input == "skip", config.raw_output,
        )  # fmt: skip
        return
    found = train.load_data(config, scorer if whole else None)
    result = predict.evaluate(scorer, found, config.costs(), alerts)
    console.get().print(strict_json.dumps(result))


if __name__ == "__main__":
    flags.launch(main, Config)
