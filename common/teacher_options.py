"""The options of the apps whose networks can learn from a teacher."""

import dataclasses

from common.options import InputError, is_given, option
from common.shared_options import Options

# The options that say how the teacher teaches.
OF_TEACHER = ("teacher_temperature", "teacher_weight")


@dataclasses.dataclass(frozen=True)
class TeacherOptions(Options):
    """Options of distillation; see `training.distillation`."""

    teacher: str = option(
        "",
        "the release directory of a larger network, whose outputs the network "
        "learns as well as the labels.",
    )
    teacher_temperature: float = option(
        2.0,
        "the temperature that softens the outputs of --teacher and of the "
        "network that learns from it.",
        minimum=0.1,
        maximum=100.0,
    )
    teacher_weight: float = option(
        0.5,
        "the weight of the outputs of --teacher in the loss; the labels have "
        "the rest.",
        minimum=0.01,
        maximum=1.0,
    )

    def __post_init__(self) -> None:
        """Refuses options about a teacher that is not given."""
        super().__post_init__()
        for name in OF_TEACHER:
            if is_given(self, name) and not self.teacher:
                raise InputError(
                    f"--{name} needs --teacher; received "
                    f"{getattr(self, name):g} without a teacher."
                )
