"""Image classification, from images to a phone and a server.

Data: any TFDS image set by name, a folder of class folders, or the embedded
`digits`. Model: --model. Result: a release with a SavedModel, TFLite files and
a report. MNIST: accuracy .9968 (small_cnn), .9909 (lenet5, three seeds).

  python -m apps.image_classify --flagfile=apps/flagfiles/NAME.flags
  python -m apps.image_classify --mode=predict --inputs='photos/*.png'
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
    whole = evaluation.is_whole(config, trained)
    # The same seed gives a folder the same split: no training image is tested.
    config = as_trained(config, trained)
    if config.mode == "predict":
        predict.predict_files(classifier, config)
        return
    classes = classifier.class_names if whole else ()
    splits = train.load_data(config, classifier.shape, classes)
    result = predict.evaluate(classifier, splits)
    console.get().print(strict_json.dumps(result))


if __name__ == "__main__":
    flags.launch(main, Config)
