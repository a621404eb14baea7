"""How long and how fast to train; free of torch, so that a command line can be built from it quickly."""

from dataclasses import dataclass
from typing import Literal, get_args

from omnifuse.config import Config
from omnifuse.errors import ConfigError

Precision = Literal["auto", "no", "bf16"]
Tracker = Literal["none", "wandb"]

# What may change between the start of a run and its resumption: nothing here touches a weight.
FREE = frozenset({"workers", "save_steps", "log_steps", "evaluate_steps", "keep", "best", "tracker", "project", "processes"})


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """One run of the training loop; a step is one update of the weights.

    Attributes:
        steps: Updates in all.
        batch_size: Places per update, over all processes and accumulation.
        accumulation: Micro-batches per update and process.
        learning_rate: Peak of AdamW's learning rate.
        warmup_steps: Linear rise to the peak.
        final_ratio: Floor of the cosine, as a fraction of the peak.
        weight_decay: On matrices and kernels only, see `optimizer.parameter_groups`.
        clip_norm: Largest norm of the gradient; 0 does not clip.
        ema: Decay of the averaged weights, which are then the ones evaluated and handed out; 0 keeps none.
        precision: "auto" is bf16 autocast where a GPU supports it, else float32 ("no").
        seed: Of everything drawn in training.
        workers: Processes that read data, per training process.
        save_steps: Updates between checkpoints; 0 saves at the end only.
        log_steps: Updates between rows of the log.
        evaluate_steps: Updates between evaluations; 0 evaluates at the end only.
        keep: Newest checkpoints kept. At least 2, as a disk may damage the last.
        best: Evaluation metric whose best weights are kept under `best/` (largest; smallest if its name contains "loss"). A fine-tuning
            with `split.val` hands these out in place of the last.
        tracker: Where rows go besides the local log, which is always written.
        project: Project name at the tracker.
        processes: Processes the run must get; 0 takes what the launcher started.
    """

    steps: int
    batch_size: int
    accumulation: int = 1
    learning_rate: float = 1e-3
    warmup_steps: int = 0
    final_ratio: float = 0.01
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    ema: float = 0.0
    precision: Precision = "auto"
    seed: int = 0
    workers: int = 0
    save_steps: int = 500
    log_steps: int = 10
    evaluate_steps: int = 0
    keep: int = 2
    best: str = ""
    tracker: Tracker = "none"
    project: str = "omnifuse"
    processes: int = 0

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "steps": (1, 1e12),
            "batch_size": (1, 1e9),
            "accumulation": (1, 1e6),
            "learning_rate": (0.0, 1e3),
            "warmup_steps": (0, self.steps),
            "final_ratio": (0.0, 1.0),
            "weight_decay": (0.0, 1e3),
            "clip_norm": (0.0, 1e12),
            "ema": (0.0, 0.999999),
            "workers": (0, 1024),
            "save_steps": (0, 1e12),
            "log_steps": (1, 1e12),
            "evaluate_steps": (0, 1e12),
            "keep": (2, 1e6),
            "processes": (0, 1e6),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"training: `{name}` is {value}, expected {low:g} to {high:g}. Try: a value in this range.")
        for name, choices in (("precision", get_args(Precision)), ("tracker", get_args(Tracker))):
            if getattr(self, name) not in choices:
                raise ConfigError(f"training: `{name}` is {getattr(self, name)!r}. Try: one of {', '.join(choices)}.")
        if self.batch_size % self.accumulation:
            raise ConfigError(
                f"training: batch_size ({self.batch_size}) must be a multiple of accumulation ({self.accumulation}). "
                "Try: change one of them."
            )

    def micro_batch_size(self, processes: int) -> int:
        """Return the places of one micro-batch on each of `processes` processes."""
        if self.processes and self.processes != processes:
            raise ConfigError(
                f"training: {self.processes} processes were asked for, the launcher started {processes}. Try: "
                f"`torchrun --nproc-per-node {self.processes} ...`; `accelerate launch --cpu` always starts a single one."
            )
        share, rest = divmod(self.batch_size, self.accumulation * processes)
        if rest or not share:
            raise ConfigError(
                f"training: batch_size ({self.batch_size}) must be a multiple of accumulation ({self.accumulation}) × processes "
                f"({processes}). Try: change one of them."
            )
        return share
