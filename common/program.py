"""The main program of the apps, which runs the chosen `--mode`."""

import importlib

from common import runtime
from common.shared_options import Options


def run(config: Options) -> None:
    """Runs `train.run` or `predict.run` of the app that `config` belongs to.

    Args:
        config: The options; the app is the package that their class is in.
    """
    runtime.start(config.seed)
    # These modules import TensorFlow, which `runtime.start` must prepare first.
    from common.workers import cluster

    cluster.start(config)
    package = type(config).__module__.rpartition(".")[0]
    module = "train" if config.mode == "train" else "predict"
    importlib.import_module(f"{package}.{module}").run(config)
