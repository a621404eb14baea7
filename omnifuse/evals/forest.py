"""A random forest on the series of single pixels: the baseline without any notion of space, for the same tables as our models.

It is fitted once and then stands where a network stands: `Batch -> predictions`, so that `score_views` and its intervals, subsets and
corruptions hold for it, too. It needs scikit-learn. It is not saved: its only formats run code when they are read.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from omnifuse.classes import ClassTable, Labels, Quantities
from omnifuse.config import Config
from omnifuse.data.loading import evaluation_batches
from omnifuse.data.place import PlaceSource, labels_of
from omnifuse.errors import ConfigError, InputError
from omnifuse.evals.metrics import Metric, metric_of
from omnifuse.evals.pixel_series import PixelSeries, first_and_last, interpolated, pixel_series
from omnifuse.evals.scoring import Scored, View, score_views
from omnifuse.frames import Batch
from omnifuse.modalities import Modality, check_names
from omnifuse.randomness import numpy_generator

K = TypeVar("K", bound=Hashable)
_ROWS = 65_536  # pixels that are predicted at once
_LEAST = 1e-6  # probability that stands for none, so that logits are finite


@dataclass(frozen=True, kw_only=True)
class ForestConfig(Config):
    """A random forest (Breiman 2001) on series interpolated to dates of even spacing.

    Attributes:
        sensors: Those whose bands it takes; empty takes all of the places.
        trees: Number of trees.
        step: Days between the dates that series are interpolated to, from the first to the last of the training places.
        season: Whether days of the year count in place of dates: for places that were seen in different years.
        around: Side in pixels, odd, of the square around each pixel whose means it sees, too; 1 sees the pixel alone.
        pixels: Pixels with a label that are taken of a training place at most, drawn anew for every place.
        balanced: Whether every class weighs the same, however rare.
        boosted: Whether each tree is grown on what those before it left (gradient boosting on histograms), which is much quicker where
            there are many pixels; for classes that exclude each other.
        jobs: Processes that fit.
        seed: Of the trees and of the pixels that are taken.
    """

    kind: Literal["forest"] = "forest"
    sensors: tuple[str, ...] = ()
    trees: int = 200
    step: int = 30
    season: bool = False
    around: int = 1
    pixels: int = 256
    balanced: bool = False
    boosted: bool = False
    jobs: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("trees", "step", "pixels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"forest: `{name}` is {getattr(self, name)}, expected at least 1. Try: the default.")
        if self.around < 1 or self.around % 2 == 0:
            raise ConfigError(f"forest: `around` is {self.around}, expected an odd number. Try: 7, or 1 for the pixel alone.")


class Forest(nn.Module):
    """A fitted forest as a model of a batch.

    Predictions are those of the contract: log-probabilities of classes that exclude each other, log-odds of those that do not, physical
    units of quantities; of pixels where the labels were maps, else of places. A sensor that is missing is unknown to the trees, as a
    value that is missing is to scikit-learn's.

    Args:
        forest: Fitted on rows of features.
        labels: What it predicts.
        modalities: Sensors that it takes, in the order of the features.
        grid: Days that series are interpolated to.
        config: How series become features.
        gsd: Metres per pixel of the label maps; infinite for labels of places.
        dense: Whether predictions are maps.
    """

    def __init__(
        self,
        forest: Any,
        labels: Labels,
        modalities: Mapping[str, Modality],
        grid: Int[np.ndarray, " g"],
        config: ForestConfig,
        gsd: float,
        dense: bool,
    ) -> None:
        super().__init__()
        self.forest = forest
        self.labels = labels
        self.modalities = dict(modalities)
        self.grid = grid
        self.config = config
        self.gsd = gsd
        self.dense = dense

    @torch.no_grad()
    def forward(self, batch: Batch) -> Float[Tensor, "b k ..."]:
        side = max(1, round(batch.size / self.gsd))
        series = pixel_series(batch, self.modalities, side, self.config.season, self.config.around)
        rows = np.concatenate([interpolated(place, self.modalities, self.grid) for place in series])
        found = np.concatenate([self._predicted(rows[start : start + _ROWS]) for start in range(0, len(rows), _ROWS)])
        maps = torch.from_numpy(found).float().view(batch.num_places, side, side, -1).permute(0, 3, 1, 2)
        return maps if self.dense else maps[:, :, 0, 0]

    def _predicted(self, rows: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n k"]:
        if isinstance(self.labels, Quantities):
            standard = self.forest.predict(rows).reshape(len(rows), -1)
            return standard * self.labels.std + np.array(self.labels.mean)
        if self.labels.exclusive:
            share = np.zeros((len(rows), len(self.labels.names)))
            share[:, self.forest.classes_] = self.forest.predict_proba(rows)
            return np.log(np.maximum(share, _LEAST))
        probability = self.forest.predict_proba(rows)
        known = self.forest.classes_
        if len(self.labels.names) == 1:  # scikit-learn has no list of one
            probability, known = [probability], [known]
        present = np.stack([p[:, list(c).index(1)] if 1 in c else np.zeros(len(p)) for p, c in zip(probability, known, strict=True)], 1)
        present = present.clip(_LEAST, 1 - _LEAST)
        return np.log(present / (1 - present))


def fit_forest(config: ForestConfig, labels: Labels, modalities: Mapping[str, Modality], batches: Iterable[Batch]) -> Forest:
    """Fit a forest to labelled places.

    Args:
        config: What it takes, and how many trees.
        labels: What the labels speak of.
        modalities: Sensors of the places.
        batches: The training places, read once; what is drawn of a place depends on the place and the seed alone.

    Raises:
        InputError: where no pixel has a label, or scikit-learn is not installed.
    """
    names = config.sensors or tuple(modalities)
    check_names(names, list(modalities), "forest: `sensors`")
    taken = {name: modalities[name] for name in names}
    series: list[PixelSeries] = []
    wanted = []
    gsd, dense = torch.inf, False
    for batch in batches:
        if batch.target is None:
            raise InputError("forest: places without labels. Try: a source with labels.")
        dense = batch.target.ndim - (0 if isinstance(labels, ClassTable) and labels.exclusive else 1) == 3
        side = batch.target.shape[-1] if dense else 1
        gsd = batch.size / side if dense else torch.inf
        targets = batch.target.cpu().numpy().reshape(batch.num_places, -1, side * side).swapaxes(1, 2)  # (places, pixels, values)
        pixels = pixel_series(batch, taken, side, config.season, config.around)
        for place, target, one in zip(batch.place.tolist(), targets, pixels, strict=True):
            labelled = np.flatnonzero(_known(target, labels))
            rng = numpy_generator(config.seed, "forest", place)
            picked = np.sort(rng.permutation(labelled)[: config.pixels])
            if len(picked):
                series.append(one.at(picked))
                wanted.append(target[picked])
    target = np.concatenate(wanted) if wanted else np.zeros((0, 1))
    if not len(target):
        raise InputError("forest: no pixel of the training places has a label. Try: other places.")
    first, last = first_and_last(series)
    grid = np.arange(first, last + 1, config.step)
    rows = np.concatenate([interpolated(place, taken, grid) for place in series])
    return Forest(_fitted(config, labels, rows, target), labels, taken, grid, config, gsd, dense)


def cross_validated(
    config: ForestConfig,
    source: PlaceSource,
    folds: Sequence[Int[np.ndarray, " _n"]],
    views: Mapping[K, View],
    metric: Metric | None = None,
    batch_size: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> dict[K, Scored]:
    """Score every fold by a forest that was fitted to the others, and put the folds together.

    Args:
        config: The forest.
        source: Labelled places.
        folds: Places of each fold.
        views: What the forest is shown of a place that is scored, as for `score_views`.
        metric: What is counted; by default what the labels call for.
        batch_size: Places that are read together.
        progress: Called with (folds done, folds in all).
    """
    labels = labels_of(source)
    if labels is None:
        raise InputError("forest: the places have no labels. Try: another source.")
    counted = metric_of(labels) if metric is None else metric
    together: dict[K, Scored] = {}
    for number, fold in enumerate(folds):
        others = np.concatenate([other for other in folds if other is not fold])
        forest = fit_forest(config, labels, source.modalities, evaluation_batches(source, others, batch_size))
        found = score_views(forest, _Pass(source, fold, batch_size), views, counted)
        together = {key: together[key].joined(one) if key in together else one for key, one in found.items()}
        if progress is not None:
            progress(number + 1, len(folds))
    return together


@dataclass(frozen=True)
class _Pass:
    source: PlaceSource
    places: Int[np.ndarray, " _n"]
    batch_size: int

    def __call__(self) -> Iterable[Batch]:
        return evaluation_batches(self.source, self.places, self.batch_size)


def _known(target: np.ndarray, labels: Labels) -> Bool[np.ndarray, " p"]:
    """Return which pixels have a label; of several values all must be known."""
    if isinstance(labels, ClassTable) and labels.exclusive:
        return np.asarray(target[:, 0] != labels.ignore)
    return np.isfinite(target).all(1)


def _fitted(config: ForestConfig, labels: Labels, rows: Float[np.ndarray, "n f"], target: np.ndarray) -> Any:
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
    except ImportError:
        raise InputError("forest: needs the package scikit-learn. Try: pip install scikit-learn.") from None
    if config.boosted and not (isinstance(labels, ClassTable) and labels.exclusive):
        raise ConfigError("forest: `boosted` is for classes that exclude each other. Try: boosted=False.")
    if isinstance(labels, Quantities):
        standard = (target - np.array(labels.mean)) / labels.std  # so that every quantity weighs the same
        regressor = RandomForestRegressor(config.trees, max_features=1 / 3, n_jobs=config.jobs, random_state=config.seed)
        return regressor.fit(rows, standard[:, 0] if standard.shape[1] == 1 else standard)
    weight = "balanced" if config.balanced else None
    if config.boosted:
        booster = HistGradientBoostingClassifier(max_iter=config.trees, class_weight=weight, random_state=config.seed)
        return booster.fit(rows, target[:, 0].astype(np.int64))
    classifier = RandomForestClassifier(config.trees, class_weight=weight, n_jobs=config.jobs, random_state=config.seed)
    if labels.exclusive:
        return classifier.fit(rows, target[:, 0].astype(np.int64))
    present = (target > labels.present_above).astype(np.int64)
    return classifier.fit(rows, present[:, 0] if present.shape[1] == 1 else present)
