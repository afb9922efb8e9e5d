"""Fraud detection: from late labels to alerts a day, with reasons.

Data: a table of transactions, a table of ready-made features, or the embedded
simulation. Model: --model. Result: a release with a SavedModel, TFLite files
and a report. The Handbook's P1, three seeds: AP .740, AUC .903, CP@100 .305;
P2, without labels: AP .457, AUC .870, CP@100 .264. P3, four weeks: AP
.724, AUC .886, CP@100 .310.

  python -m apps.fraud_detect --flagfile=apps/flagfiles/NAME.flags
  python -m apps.fraud_detect --mode=predict --inputs=new.csv
"""

from common import flags, program

from .config import Config

if __name__ == "__main__":
    flags.launch(program.run, Config)
