"""Seconds per epoch of an LSTM on IMDB: this project against PyTorch.

The same network (30,000 words of 64 numbers, LSTM of 32, mean and maximum over
time) with Adam and batches of 64, on the same token ids, in turn, in one
process:

  TFDS_DATA_DIR=... python -m benchmarks.text_sentiment_pytorch --rounds=3

PyTorch twice: batches padded to 400 tokens, as most examples do it, and
batches of similar lengths, packed (`pack_padded_sequence`). Ours is the app's
own: its pipeline, its `compile_model`, Keras's `fit`. Each epoch is timed
whole; a tenth of one is the warm-up.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn.utils import rnn

from apps.text_sentiment import batches
from apps.text_sentiment import train as app
from common import runtime
from common.data import pipelines
from common.data.splits import MemorySplit, Splits

from .timing import seconds

BATCH, WINDOW = 64, 50


class Network(nn.Module):
    """The app's network without its linear path."""

    def __init__(self, num_words: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_words, 64)
        self.channels = nn.Dropout1d(dropout)
        self.lstm = nn.LSTM(64, 32, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Linear(64, 2)

    def forward(
        self, ids: torch.Tensor, lengths: torch.Tensor, packed: bool
    ) -> torch.Tensor:
        """Returns logits `(batch, 2)` for ids `(batch, length)`."""
        x = self.embedding(ids)
        # Whole channels of the vectors, as Keras's SpatialDropout1D.
        x = self.channels(x.transpose(1, 2)).transpose(1, 2)
        if packed:
            rows = rnn.pack_padded_sequence(
                x, lengths, batch_first=True, enforce_sorted=False
            )
            x, _ = rnn.pad_packed_sequence(self.lstm(rows)[0], batch_first=True)
        else:
            x, _ = self.lstm(x)
        real = (ids != 0).unsqueeze(-1)
        mean = (x * real).sum(1) / real.sum(1)
        most = x.masked_fill(~real, -1.0).amax(1)
        return self.logits(self.dropout(torch.cat([mean, most], 1)))


def shuffled(lengths: np.ndarray, similar: bool) -> Iterator[np.ndarray]:
    """Yields the indices of an epoch's batches."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(lengths))
    if similar:
        step = BATCH * WINDOW
        windows = np.split(order, range(step, len(order), step))
        order = np.concatenate([w[np.argsort(lengths[w])] for w in windows])
    chosen = np.split(order, range(BATCH, len(order), BATCH))
    for index in rng.permutation(len(chosen)):
        yield chosen[index]


def pytorch_epoch(
    split: MemorySplit, num_words: int, packed: bool
) -> Callable[[], None]:
    """Returns a function that trains one epoch in PyTorch."""
    torch.manual_seed(0)
    ids = torch.from_numpy(split.features.astype(np.int64))
    labels = torch.from_numpy(split.labels)
    lengths = np.count_nonzero(split.features, axis=1)
    model = Network(num_words, dropout=0.3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    criterion = nn.CrossEntropyLoss()

    def epoch() -> None:
        model.train()
        for index in shuffled(lengths, packed):
            longest = lengths[index].max() if packed else ids.shape[1]
            sizes = torch.from_numpy(lengths[index])
            optimizer.zero_grad()
            outputs = model(ids[index, :longest], sizes, packed)
            criterion(outputs, labels[index]).backward()
            optimizer.step()

    return epoch


def keras_epoch(
    config: app.Config, split: MemorySplit, splits: Splits
) -> Callable[[], None]:
    """Returns a function that trains one epoch of `split` here."""
    num_steps = pipelines.num_steps(split, BATCH)
    model = app.build_model(config, splits)
    model = app.compile_model(model, config, num_steps)
    position, count = pipelines.Position(), iter(range(10**6))
    rows = pipelines.for_training(
        split,
        BATCH,
        seed=0,
        position=position,
        transform=batches.for_training(2, word_dropout=0.0),
    )

    def epoch() -> None:
        position.set(next(count))
        model.fit(rows, epochs=1, verbose=0, shuffle=False)

    return epoch


def main() -> None:
    """Prints each round, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    runtime.start(0)
    config = app.Config(
        dataset="imdb_reviews", num_pairs=0, epochs=100, learning_rate=0.003
    )
    splits = app.load_data(config)
    train, sample = splits.train, splits.train.sample(2_250, seed=0)
    num_words = len(splits.tokenizer.vocabulary)
    epochs = {
        "this project": lambda part: keras_epoch(config, part, splits),
        "padded": lambda part: pytorch_epoch(part, num_words, packed=False),
        "packed": lambda part: pytorch_epoch(part, num_words, packed=True),
    }
    for make in epochs.values():
        make(sample)()
    run = {name: make(train) for name, make in epochs.items()}
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads")
    ratios: dict[str, list[float]] = {"padded": [], "packed": []}
    for index in range(rounds):
        took = {name: seconds(epoch) for name, epoch in run.items()}
        for name, values in ratios.items():
            values.append(took[name] / took["this project"])
        text = ", ".join(f"{name} {s:.1f} s" for name, s in took.items())
        print(f"round {index + 1}: {text}", flush=True)
    for name, values in ratios.items():
        print(f"{name} / this project: median {statistics.median(values):.2f}")


if __name__ == "__main__":
    main()
