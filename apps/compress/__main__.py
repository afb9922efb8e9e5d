"""Compression of a user's own Keras 3 model, from .keras to a phone.

Data: a TFDS name, a folder of class folders, or a .npz file with x and y.
Model: a functional or Sequential .keras file; nothing in it is run as code.
Result: a release with a SavedModel, TFLite files and a report. A model of
80,202 weights, trained elsewhere on MNIST: 297.5 kB became 14.2 kB (gzip), test
accuracy .9858 became .9842 (prune+cluster+int8; tests/test_compress_large.py).

  python -m apps.compress --model=my.keras --dataset=mnist --max_drop=0.01
  python -m apps.compress --model=my.keras --calibration=inputs.npz
"""

from common import flags, program

from .config import Config

if __name__ == "__main__":
    flags.launch(program.run, Config)
