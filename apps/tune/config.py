"""The options of the search for settings."""

import dataclasses

from common import variants
from common.options import Checked, InputError, option

METRIC, SIZE = "metric", "size"


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    """The options of this program."""

    search: str = option(
        "",
        "the options to search and their values, such as 'learning_rate=1e-4.."
        "1e-2 log, units=16|32|64'; by default the application's own space.",
    )
    extend: bool = option(
        False,
        "search the application's own space too; --search replaces its items "
        "of the same name.",
    )
    trials: int = option(
        30,
        "the number of trials of the study, with those that were stopped early "
        "or failed.",
        minimum=1,
        maximum=100_000,
    )
    minutes: float = option(
        0.0,
        "the minutes after which this process begins no more trials; 0 sets no "
        "limit.",
        minimum=0.0,
    )
    objectives: tuple[str, ...] = option(
        (METRIC,),
        "metric, the task metric on validation; or metric,size, with the "
        "gzipped bytes of the file of --variant.",
    )
    variant: str = option(
        "dynamic",
        "--objectives=metric,size: the TFLite file whose metric and size "
        "count.",
    )
    sampler: str = option(
        "tpe",
        "how values are drawn: tpe learns from the trials before.",
        choices=("tpe", "random"),
    )
    pruner: str = option(
        "median",
        "which trials are stopped early, by the validation metric of their "
        "epochs.",
        choices=("median", "hyperband", "none"),
    )
    seed: int = option(
        0,
        "the seed of the values that are drawn.",
        minimum=0,
        maximum=2**31,
    )
    work_dir: str = option(
        "runs/tune", "the directory of studies and their checkpoints."
    )
    storage: str = option(
        "",
        "the URL of a database that processes on several machines share; by "
        "default an SQLite file in --work_dir.",
    )
    release_best: bool = option(
        False, "train the best settings afresh and release them."
    )
    command: tuple[str, ...] = option(
        (), "the application and its options: the words after --."
    )

    def __post_init__(self) -> None:
        """Checks every option against its own rule."""
        super().__post_init__()
        if self.objectives not in ((METRIC,), (METRIC, SIZE)):
            raise InputError(
                "--objectives must be metric or metric,size; received "
                f"{','.join(self.objectives)}."
            )
        variants.parse((self.variant,))
        if not self.command:
            raise InputError(
                "an application must follow --, such as -- "
                "apps.image_classify --dataset=digits; received none."
            )
        if self.extend and not self.search:
            raise InputError(
                "--extend needs --search, whose items it adds; received none."
            )

    @property
    def with_size(self) -> bool:
        """Whether the size of a file is an objective."""
        return SIZE in self.objectives
