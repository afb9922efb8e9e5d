"""Recommender: from interactions to top-k lists on a server and on the phone.

Data: TFDS `movielens/*-ratings`, a table of your own, or the embedded,
generated `tastes`. Model: --model. Result: a release with a SavedModel, TFLite
files and a report. NDCG@10 on MovieLens 100K: .0927 (last film, three seeds),
.4825 (random quarter, seed 0).

  python -m apps.recommender --flagfile=apps/flagfiles/NAME.flags
  python -m apps.recommender --dataset=mine.csv --user_column=customer
  python -m apps.recommender --mode=predict --inputs=alice,bob
"""

from common import flags, program

from .config import Config

if __name__ == "__main__":
    flags.launch(program.run, Config)
