"""Medical-image autoencoder, from normal images to a heat map and a server.

It learns from normal images and marks pixels unlike theirs, or it removes noise
(--model=denoiser --noise=gaussian). Data: TFDS image sets with a normal class,
folders of PNG, JPEG, TIFF and DICOM files, or the embedded, synthetic
`phantoms`. Result: a release with a SavedModel, TFLite files and a report. This
is no medical device. On pneumonia_mnist: test AUROC .949 (three seeds).

  python -m apps.medical_autoencoder --flagfile=apps/flagfiles/NAME.flags
  python -m apps.medical_autoencoder --mode=predict --inputs=x.dcm --overlays=y/
"""

from common import flags, program

from .config import Config

if __name__ == "__main__":
    flags.launch(program.run, Config)
