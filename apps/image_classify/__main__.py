"""Image classification, from images to a phone and a server.

Data: any TFDS image set by name, a folder of class folders, or the embedded
`digits`. Model: --model. Result: a release with a SavedModel, TFLite files and
a report. MNIST: accuracy .9968 (small_cnn), .9909 (lenet5, three seeds).

  python -m apps.image_classify --flagfile=apps/flagfiles/NAME.flags
  python -m apps.image_classify --mode=predict --inputs='photos/*.png'
"""

from common import flags, program

from .config import Config

if __name__ == "__main__":
    flags.launch(program.run, Config)
