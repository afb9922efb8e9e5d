"""Self-training: the LSTM learns unlabelled texts from a teacher.

The linear path, fitted on the labelled texts, gives the unlabelled texts
probabilities, and the LSTM is trained on all of them. Teacher and LSTM still
make different errors: joined, they are better than each alone. Scudder,
Probability of error of some adaptive pattern-recognition machines, 1965; with
soft labels and noise on the student's side alone, as here, Xie et al.,
Self-training with Noisy Student, 2020.
"""

import dataclasses

import numpy as np

from common.data.splits import MemorySplit

from . import linear
from .data import TextSplits
from .vocabulary import PADDING


def teach(splits: TextSplits, tables: linear.Tables | None) -> TextSplits:
    """Adds the unlabelled texts to the training split.

    Args:
        splits: The texts; their labels are classes.
        tables: The teacher, fitted on the training split; None for no teacher.

    Returns:
        The same splits. The labels of `train` are then probabilities `(num,
        classes) float32`: 1 for the true class of a labelled text, the
        teacher's for the unlabelled texts. Without a teacher or unlabelled
        texts they stay classes.
    """
    if tables is None or not len(splits.unlabelled):
        return splits
    train, ids = splits.train, splits.unlabelled
    known = np.eye(len(splits.class_names), dtype=np.float32)[train.labels]
    taught_labels = linear.softmax(linear.log_odds(ids, tables)).astype(
        np.float32
    )
    lengths = np.count_nonzero(ids != PADDING, axis=1).astype(np.int32)
    taught = MemorySplit(
        np.concatenate([train.features, ids]),
        np.concatenate([known, taught_labels]),
        np.concatenate([train.lengths, lengths]),
    )
    return dataclasses.replace(splits, train=taught)
