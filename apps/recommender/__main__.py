"""Recommender: from interactions to top-k lists on a server and on the phone.

Data: TFDS `movielens/*-ratings`, a table of your own (CSV, TSV, JSON lines,
Parquet), or the embedded, generated `tastes`. Model: --model. Result: a release
with a SavedModel, TFLite files and a report. NDCG@10 on MovieLens 100K:
.0927 (last film, three seeds), .4825 (random quarter, seed 0).

  python -m apps.recommender --flagfile=apps/flagfiles/NAME.flags
  python -m apps.recommender --dataset=mine.csv --user_column=customer
  python -m apps.recommender --mode=predict --inputs=alice,bob
"""

from common import console, flags, runtime
from common.options import as_trained
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
    recommender = predict.Recommender(asked)
    trained = evaluation.trained_with(asked)
    whole = evaluation.is_whole(config, trained)
    config = as_trained(config, trained)
    if config.mode == "predict":
        predict.predict_users(recommender, config)
        return
    predict.check_dataset(config.dataset, trained)
    known = recommender.item_ids() if whole else ()
    result = predict.evaluate(recommender, train.load_data(config, known))
    console.get().print(strict_json.dumps(result))


if __name__ == "__main__":
    flags.launch(main, Config)
