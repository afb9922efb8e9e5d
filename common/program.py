"""The main program of the apps, which runs the chosen `--mode`."""

import importlib
import importlib.util

from common import runtime
from common.options import InputError
from common.shared_options import Options

# The module of an app whose `run` does the work of each `--mode`.
MODULES = {
    "train": "train",
    "evaluate": "predict",
    "predict": "predict",
    "explain": "explanations",
}


def run(config: Options) -> None:
    """Runs `--mode` in the app that `config` belongs to.

    Args:
        config: The options; the app is the package that their class is in.

    Raises:
        InputError: If the app has nothing that explains its predictions.
    """
    runtime.start(config.seed)
    # These modules import TensorFlow, which `runtime.start` must prepare first.
    from common.workers import cluster

    cluster.start(config)
    package = type(config).__module__.rpartition(".")[0]
    module = f"{package}.{MODULES[config.mode]}"
    if not importlib.util.find_spec(module):
        raise InputError(
            f"--mode={config.mode} is not offered by {package}; it has no "
            f"{MODULES[config.mode]}.py."
        )
    importlib.import_module(module).run(config)
