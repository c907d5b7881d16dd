"""How long and in which portions a model is trained."""

from dataclasses import dataclass, field

from minibert.errors import InputError, shown
from minibert.training.optimiser import OptimiserOptions


@dataclass(frozen=True)
class TrainingOptions:
    """Everything about a training but its model, its data and where it is written.

    Args:
        epochs: how often every row is seen.
        batch_size: rows a step.
        accumulation: into so many parts each batch is divided to save memory.
        seed: of the order of the rows, of dropout, and of a new head's first values.
        evaluate_every: after so many steps; None for at the end of every epoch.
        checkpoint_every: after so many steps, and besides at every evaluation and at the end.
        patience: after so many evaluations without a better one training stops; None for never.
        log_every: a line of metrics after so many steps.
        devices: how they are used, as `Placement` has it.
        rematerialise: keep less for the gradient and compute it again.
        optimiser: how the parameters learn.

    Raises InputError for a value out of range.
    """

    epochs: int = 3
    batch_size: int = 32
    accumulation: int = 1
    seed: int = 0
    evaluate_every: int | None = None
    checkpoint_every: int = 500
    patience: int | None = None
    log_every: int = 10
    devices: str = "data"
    rematerialise: bool = False
    optimiser: OptimiserOptions = field(default_factory=OptimiserOptions)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulation", "evaluate_every", "checkpoint_every", "patience", "log_every"):
            value = getattr(self, name)
            if value is None and name in ("evaluate_every", "patience"):
                continue
            if type(value) is not int or not 1 <= value <= 1 << 31:
                raise InputError(f"{name} is {shown(value)}; expected a whole number from 1 to {1 << 31:,}")
        if type(self.seed) is not int or not 0 <= self.seed < 1 << 31:
            raise InputError(f"seed is {shown(self.seed)}; expected a whole number from 0 to {(1 << 31) - 1}")
        if self.batch_size % self.accumulation:
            raise InputError(
                f"a batch of {self.batch_size} rows cannot be divided into {self.accumulation} equal parts; give a batch_size "
                "that is a multiple of accumulation"
            )
