"""The landscape as studies use it: few places, short trainings, equal budgets."""

from dataclasses import replace

from omnifuse.data.landscape import LandscapeConfig
from omnifuse.models.model import EncoderConfig
from omnifuse.runs.baselines import Architecture, parts
from omnifuse.runs.finetuning import FinetuneConfig
from omnifuse.runs.landscape import SENSORS, small_contrast, small_encoders, small_fusion, small_head
from omnifuse.runs.places import AugmentConfig
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.runs.sources import LandscapeData
from omnifuse.runs.studies.study import Scale
from omnifuse.train.config import TrainConfig

ALL = "+".join(SENSORS)
DROPOUT = 0.15
DATES = 12
UPDATES = 400
LONG = 800  # a U-TAE on cloudy images alone has not begun to learn after 400
CROP = 160.0  # of a place of 320 m, in training


def data(seed: int, scale: Scale, sensors: tuple[str, ...] = SENSORS) -> LandscapeData:
    """Return 300 places of 320 m, another world for every seed; a fifth (fold 5) is held out."""
    return LandscapeData(landscape=LandscapeConfig(places=max(20, round(300 * scale.places)), size=32, seed=seed, sensors=sensors))


def quarters(seed: int, scale: Scale, sensors: tuple[str, ...] = SENSORS) -> LandscapeData:
    """Return as much ground in 1,200 places of 160 m: what is said of a whole place is then said of all that a training step sees."""
    return LandscapeData(landscape=LandscapeConfig(places=max(20, round(1200 * scale.places)), size=16, seed=seed, sensors=sensors))


def training(seed: int, steps: int, batch_size: int = 8, learning_rate: float = 3e-3) -> TrainConfig:
    """Return how long and how fast; nothing is scored on the way."""
    return TrainConfig(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup_steps=min(20, steps),
        seed=seed,
        log_steps=max(1, steps // 20),
        save_steps=0,
        evaluate_steps=0,
    )


def tuning(
    seed: int, scale: Scale, sensors: tuple[str, ...] = SENSORS, *, dropout: float = DROPOUT, labels: float = 1.0, steps: int = UPDATES
) -> FinetuneConfig:
    """Return the fine-tuning that studies vary: our model on some sensors, from random weights."""
    return FinetuneConfig(
        data=data(seed, scale),
        encoders=chosen(sensors),
        fusion=small_fusion(),
        head=small_head(),
        augment=AugmentConfig(most_dates=DATES, crop=CROP, modality_dropout=dropout if len(sensors) > 1 else 0.0),
        train=training(seed, scale.updates(steps)),
        label_fraction=labels,
    )


def of_architecture(seed: int, scale: Scale, architecture: Architecture) -> FinetuneConfig:
    """Return the same fine-tuning of a baseline, of `LONG` updates: no dropout of sensors, and one encoder alone learns at a lower rate."""
    base = tuning(seed, scale, steps=LONG)
    if len(architecture.encoders) == 1:
        base = replace(base, train=replace(base.train, learning_rate=1e-3))
    return replace(base, augment=replace(base.augment, modality_dropout=0.0), **parts(architecture))


def pretraining(seed: int, scale: Scale, sensors: tuple[str, ...] = SENSORS, steps: int = 300) -> PretrainConfig:
    """Return the contrast of places and cells on the training places without labels."""
    return PretrainConfig(
        data=data(seed, scale),
        encoders=chosen(sensors),
        objective=small_contrast(),
        augment=AugmentConfig(most_dates=DATES, crop=CROP),
        train=training(seed, scale.updates(steps), batch_size=24, learning_rate=4e-3),
        probe_places=0,
    )


def chosen(sensors: tuple[str, ...]) -> dict[str, EncoderConfig]:
    """Return the small encoders of some sensors."""
    encoders = small_encoders()
    return {name: encoders[name] for name in sensors}
