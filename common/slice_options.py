"""The option of the apps that measure groups of a table's rows apart."""

import dataclasses

from common.options import option
from common.shared_options import Options


@dataclasses.dataclass(frozen=True)
class SliceOptions(Options):
    """Options of the apps that show their figures by columns of a table."""

    slice_by: tuple[str, ...] = option(
        (),
        "own table: the columns by whose values the figures are shown too, "
        "such as region,device; in training and evaluation.",
        training=False,
    )
