"""Medical-image autoencoder, from normal images to a heat map and a server.

It learns what normal images look like and marks what departs from them; or it
removes noise (--model=denoiser --noise=gaussian). Data: TFDS image sets with a
normal class, folders of PNG, JPEG, TIFF and DICOM files, or the embedded,
synthetic `phantoms`. Result: a release with a SavedModel, TFLite files and a
report. No medical device. On pneumonia_mnist: test AUROC .949 (three seeds).

  python -m apps.medical_autoencoder --flagfile=apps/flagfiles/NAME.flags
  python -m apps.medical_autoencoder --mode=predict --inputs=x.dcm --overlays=y/
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
    released = predict.Released(asked, config.variant)
    trained = evaluation.trained_with(asked)
    whole = evaluation.is_whole(config, trained)
    # The same seed gives a folder the same split: nobody that was trained on
    # is tested.
    config = as_trained(config, trained)
    if config.mode == "predict":
        predict.predict_files(released, config)
        return
    splits = train.load_data(config, released.shape, whole)
    result = predict.evaluate(released, splits, config)
    console.get().print(strict_json.dumps(result))


if __name__ == "__main__":
    flags.launch(main, Config)
