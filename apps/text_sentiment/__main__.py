"""Text sentiment: an LSTM, from texts to a phone and a server.

Data: any TFDS text set by name, a table of your own, or the embedded
`generated_reviews`. Model: embedding, LSTM, pooling over time. Result: a
release with a SavedModel that takes strings, TFLite files with fused LSTM
operators, and a report. IMDB, 25,000 test reviews: 0.9124 after 198 s of
training; 0.9112 in a file 10 times smaller.

  python -m apps.text_sentiment --flagfile=apps/flagfiles/NAME.flags
  python -m apps.text_sentiment --mode=predict --inputs='Not bad at all!'
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
    classifier = predict.Classifier(asked, config.variant)
    trained = evaluation.trained_with(asked)
    whole = next(
        (one for one in ("test_file", "dataset")
         if evaluation.is_whole(config, trained, one)), "",
    )  # fmt: skip
    test_file = config.test_file
    own = evaluation.is_own(config, trained)
    # The same seed gives a file the same split: no training text is tested.
    config = as_trained(config, trained)
    if not own:  # The release's test file goes with its own data.
        config = config.replace(test_file=test_file)
    if config.mode == "predict":
        predict.predict(classifier, config, config.text_column)
        return
    texts = train.load_texts(
        config.replace(pretrain=""), whole, classifier.class_names
    )
    result = predict.evaluate(classifier, texts)
    console.get().print(strict_json.dumps(result))


if __name__ == "__main__":
    flags.launch(main, Config)
