"""The learning rate as a function of the step."""

import math

from omnifuse.train.config import TrainConfig


def lr_at(step: int, config: TrainConfig) -> float:
    """Return the learning rate of update `step` (from 0): a linear rise, then a cosine that ends at its floor at `config.steps`."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = min(1.0, (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * (config.final_ratio + (1 - config.final_ratio) * cosine)
