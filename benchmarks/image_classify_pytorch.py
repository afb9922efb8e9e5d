"""Seconds per epoch of LeNet on MNIST: this project against PyTorch.

The seed article's network and settings (batch 64, Adam at 0.001) in both, on
the same 54,000 images, in turn, in one process:

  TFDS_DATA_DIR=... python -m benchmarks.image_classify_pytorch --rounds=5

PyTorch's loop is the article's, its mistakes corrected: `F` imported, the model
made, the first convolution padded. Ours is the app's own: its pipeline, its
`compile_model`, Keras's `fit`. Each epoch is timed whole; the first ones are
warm-ups and are not counted.
"""

import argparse
import statistics
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from apps.image_classify import train as app
from common import runtime
from common.data import pipelines
from common.data.splits import MemorySplit, Splits

from .timing import seconds


class LeNet(nn.Module):
    """The article's network; padding makes its 16 x 5 x 5 true."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns logits `(batch, 10)`."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def pytorch_epoch(split: MemorySplit) -> Callable[[], None]:
    """Returns a function that trains one epoch in PyTorch."""
    torch.manual_seed(0)
    images = torch.from_numpy(split.features.astype(np.float32) / 255)
    images = images.permute(0, 3, 1, 2).contiguous()
    loader = DataLoader(
        TensorDataset(images, torch.from_numpy(split.labels)),
        batch_size=64,
        shuffle=True,
    )
    model = LeNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    criterion = nn.CrossEntropyLoss()

    def epoch() -> None:
        model.train()
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()

    return epoch


def keras_epoch(splits: Splits) -> Callable[[], None]:
    """Returns a function that trains one epoch with this project."""
    from apps.image_classify import augment

    config = app.Config(
        dataset="mnist", model="lenet5", weight_decay=0.0, dropout=0.0,
        schedule="constant",
    )  # fmt: skip
    model = app.compile_model(app.build_model(config, splits), config, splits)
    position, count = pipelines.Position(), iter(range(10**6))
    batches = pipelines.for_training(
        splits.train,
        config.batch_size,
        seed=0,
        position=position,
        transform=augment.for_training(10, augment.Augmentation()),
    )

    def epoch() -> None:
        position.set(next(count))
        model.fit(batches, epochs=1, verbose=0, shuffle=False)

    return epoch


def main() -> None:
    """Prints each round, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    runtime.start(0)
    splits = app.load_data(app.Config(dataset="mnist"))
    ours, theirs = keras_epoch(splits), pytorch_epoch(splits.train)
    for warm_up in (ours, ours, theirs):
        warm_up()
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads")
    ratios = []
    for index in range(rounds):
        own, other = seconds(ours), seconds(theirs)
        ratios.append(other / own)
        print(
            f"round {index + 1}: this project {own:.2f} s, PyTorch "
            f"{other:.2f} s, ratio {ratios[-1]:.2f}",
            flush=True,
        )
    print(
        f"ratio: median {statistics.median(ratios):.2f}, least "
        f"{min(ratios):.2f}, greatest {max(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
