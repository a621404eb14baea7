"""`omnifuse data show`: one place as a picture."""

from dataclasses import dataclass
from pathlib import Path

from omnifuse.config import Config
from omnifuse.runs.opening import Found
from omnifuse.runs.stages import console


@dataclass(frozen=True, kw_only=True)
class ShowCommand(Config):
    """Draw one place: its series over time, its single images, the dates of all sensors, its labels.

    Attributes:
        out: PNG file to write; `<place>.png` here without a name.
        dates: Images per series, at most.
        kind: What it is, such as pastis-hd; told from its layout where it is not given.
    """

    out: str = ""
    dates: int = 8
    kind: str = ""


def show(found: Found, place: str, command: ShowCommand) -> None:
    """Write the picture; `place` is an id or a position."""
    from omnifuse.data.pictures.showing import show as draw

    console.print(str(found), markup=False)
    picture = draw(found.open(), place, command.dates)
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in str(picture.place.info["id"]))
    out = Path(command.out or f"{name}.png")
    picture.save(out)
    console.print(f"{out}: {picture!r}", markup=False)
