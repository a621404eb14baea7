"""`omnifuse reproduce`: the tables of papers, made again by one command each."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from omnifuse.config import Config
from omnifuse.errors import ConfigError
from omnifuse.runs.stages import console
from omnifuse.runs.studies.catalogue import STUDIES
from omnifuse.runs.studies.running import run_study
from omnifuse.runs.studies.study import Scale


@dataclass(frozen=True, kw_only=True)
class ReproduceCommand(Config):
    """Make a table again: train whatever it compares over seeds, score it on held-out places, and write it down.

    Attributes:
        data: Folder of the data set, for a table of a data set.
        seeds: Of the worlds and of everything drawn in training; spreads are over them.
        out: Where runs and tables go; a stopped study goes on where it was, and studies share what they have in common.
        workers: Entries that are trained side by side, on one core each.
        places: Factor on the places of the landscape.
        steps: Factor on the updates of every training.
        quick: Prove the way in minutes: few places, few updates; the figures mean nothing.
    """

    data: str = ""
    seeds: tuple[int, ...] = (0, 1, 2)
    out: str = "runs/studies"
    workers: int = 2
    places: float = 1.0
    steps: float = 1.0
    quick: bool = False


def reproduce(name: str, command: ReproduceCommand) -> Path:
    """Run a study and return its table, `OUT/NAME.md`; its picture is `OUT/NAME.png`.

    Raises:
        ConfigError: for a name that is not known, or a data set that is needed and was not named.
    """
    if name not in STUDIES:
        near = get_close_matches(name, STUDIES, 1)
        raise ConfigError(f"{name}: no such table; known are {', '.join(STUDIES)}. Try: {near[0] if near else next(iter(STUDIES))}.")
    study = STUDIES[name]
    if study.needs and not command.data:
        raise ConfigError(f"{name}: needs {study.needs}. Try: --data with its folder.")
    if not command.seeds:
        raise ConfigError(f"{name}: no seed. Try: --seeds 0 1 2.")
    root = Path(command.out) / "quick" if command.quick else Path(command.out)
    scale = Scale(0.1, 0.02, command.data) if command.quick else Scale(command.places, command.steps, command.data)
    from omnifuse.data.pictures.look import save_png  # matplotlib takes a second
    from omnifuse.evals.figures.bars import draw_bars

    console.print(f"{study.title}: seeds {', '.join(map(str, command.seeds))}, to {root}", markup=False)
    found = run_study(study, command.seeds, scale, root, command.workers)
    page = root / f"{name}.md"
    text = f"# {study.title}\n\nSeeds {', '.join(map(str, found.seeds))}; mean ± standard deviation over seeds.\n\n{study.tell(found)}"
    page.write_text(text, encoding="utf-8")
    save_png(draw_bars(study.bars(found), study.title, study.unit), root / f"{name}.png")
    console.print(text, markup=False)
    return page
