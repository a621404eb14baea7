"""The `omnifuse` command. Only the command that is asked for is imported, so that `--help` needs no torch.

    omnifuse COMMAND [TASK] ARGUMENTS... FLAGS...

A new command is one row of `_COMMANDS` and one function that imports what it runs.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from omnifuse.errors import OmnifuseError

_HELP = {"-h", "--help"}


@dataclass(frozen=True)
class _Command:
    """One command.

    Attributes:
        help: What it does.
        run: Called with the arguments and the flags; returns an exit code, or None for 0.
        arguments: Name and meaning of each argument, all of which must be given.
        listing: How many of them must be there before the flags can be listed.
        optional: How many of the last ones may be left out.
        many: Whether the last one may be given any number of times.
    """

    help: str
    run: Callable[[list[str], list[str]], int | None]
    arguments: tuple[tuple[str, str], ...] = ()
    listing: int = 0
    optional: int = 0
    many: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; bad input prints one sentence, not a traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    given = list(takewhile(lambda word: not word.startswith("-"), words))
    task = given[:1] == ["data"]
    known = _parser().parse_args(given if len(given) > task else words)
    command: _Command = known.command
    values = [value for argument, _ in command.arguments if (value := getattr(known, argument)) is not None]
    values += getattr(known, "more", [])
    flags = words[len(given) :]
    asked = bool(_HELP & set(flags))
    if len(values) < (command.listing if asked else len(command.arguments) - command.optional):
        known.parser.print_help()
        return 0 if asked else 2
    try:
        return command.run(values, flags) or 0
    except OmnifuseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="omnifuse", description="One self-supervised model for any subset of Earth-observation sensors.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    data = commands.add_parser("data", help="make, convert and look at data").add_subparsers(required=True, metavar="TASK")
    for name, command in _COMMANDS.items():
        *group, last = name.split()
        required = " ".join([name, *(argument for argument, _ in command.arguments[: command.listing])])
        sub = (data if group else commands).add_parser(
            last,
            help=command.help,
            description=command.help,
            usage=f"omnifuse {' '.join([name, *(argument for argument, _ in command.arguments)])} [FLAGS]",
            epilog=f"`omnifuse {required} --help` lists the flags.",
            add_help=False,
        )
        for argument, meaning in command.arguments:
            sub.add_argument(argument, nargs="?", help=meaning)
        if command.many:
            sub.add_argument("more", nargs="*", metavar="...", help="as many more as there are")
        sub.set_defaults(command=command, parser=sub)
    return parser


def _quickstart(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.quickstart import QuickstartConfig, quickstart

    quickstart(tyro.cli(QuickstartConfig, args=flags, prog="omnifuse quickstart"))


def _pretrain(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.pretraining import PretrainConfig, pretrain
    from omnifuse.runs.recipe import read_recipe, with_flags

    pretrain(with_flags(read_recipe(Path(values[0]), PretrainConfig), flags, f"omnifuse pretrain {values[0]}"))


def _finetune(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.finetuning import FinetuneConfig, finetune
    from omnifuse.runs.recipe import read_recipe, with_flags

    finetune(with_flags(read_recipe(Path(values[0]), FinetuneConfig), flags, f"omnifuse finetune {values[0]}"))


def _robustness(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.opening import command_line
    from omnifuse.runs.robustness import RobustnessCommand, measure

    model, path = [*values, "", ""][:2]
    command, found = command_line(RobustnessCommand, path or None, flags, "omnifuse robustness MODEL STORE")
    measure(model, found, command)


def _evaluate(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.evaluating import EvaluateCommand, evaluate
    from omnifuse.runs.opening import command_line

    model, path = [*values, "", ""][:2]
    command, found = command_line(EvaluateCommand, path or None, flags, "omnifuse evaluate MODEL STORE")
    evaluate(model, found, command)


def _compare(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.comparing import CompareCommand, compare

    compare(values, tyro.cli(CompareCommand, args=flags, prog="omnifuse compare RUN RUN ..."))


def _predict(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.predicting import predict

    predict(values[0], flags)


def _embed(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.embedding import EmbedCommand, embed
    from omnifuse.runs.embedding_area import embed_area
    from omnifuse.runs.opening import command_line

    model, path = [*values, "", ""][:2]
    if model and not path:
        return embed_area(model, flags)
    command, found = command_line(EmbedCommand, path or None, flags, "omnifuse embed MODEL STORE")
    embed(model, found, command)


def _search(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.searching import SearchCommand, search

    search([*values, ""][0], tyro.cli(SearchCommand, args=flags, prog="omnifuse search EMBEDDINGS"))


def _landscape(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.data import LandscapeCommand, write_landscape

    command = tyro.cli(tyro.conf.OmitArgPrefixes[LandscapeCommand], args=flags, prog="omnifuse data landscape OUT")
    write_landscape(Path(values[0]), command)


def _convert(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.conversion import conversion, convert

    kind, path, out = [*values, "PATH", "OUT"][:3]
    convert(conversion(kind, path, flags), Path(out))


def _check(values: list[str], flags: list[str]) -> int:
    from omnifuse.runs.checking import CheckCommand, check
    from omnifuse.runs.opening import command_line

    command, found = command_line(CheckCommand, values[0] if values else None, flags, "omnifuse data check PATH")
    return check(found, command)


def _show(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.opening import command_line
    from omnifuse.runs.showing import ShowCommand, show

    command, found = command_line(ShowCommand, values[0] if values else None, flags, "omnifuse data show PATH PLACE")
    show(found, values[1], command)


def _stats(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.opening import command_line
    from omnifuse.runs.surveying import StatsCommand, stats

    command, found = command_line(StatsCommand, values[0] if values else None, flags, "omnifuse data stats PATH")
    stats(found, command)


def _split(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.splitting import method_of, split_store

    before = argparse.ArgumentParser(prog="omnifuse data split STORE NAME", add_help=False, allow_abbrev=False)
    before.add_argument("--by", default="fraction")
    known, rest = before.parse_known_args(flags)
    method = tyro.cli(method_of(known.by), args=rest, prog=f"omnifuse data split STORE NAME --by {known.by}")
    split_store(values[0], values[1], known.by, method)


def _subset(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.splitting import SubsetCommand, subset

    command = tyro.cli(SubsetCommand, args=flags, prog="omnifuse data subset STORE OUT")
    subset(values[0], values[1], command)


def _map(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.mapping import MapCommand, map_page

    command = tyro.cli(MapCommand, args=flags, prog="omnifuse map MAP")
    map_page(values[0], command)


def _models(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.models import ModelsCommand, show_models

    show_models(values[0] if values else None, tyro.cli(ModelsCommand, args=flags, prog="omnifuse models NAME"))


def _export(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.exporting import ExportCommand, export_model

    command = tyro.cli(ExportCommand, args=flags, prog="omnifuse export MODEL OUT")
    export_model(values[0], Path(values[1]), command)


def _import(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.importing import ImportCommand, import_model

    command = tyro.cli(ImportCommand, args=flags, prog="omnifuse import utae PATH OUT")
    import_model(values[0], Path(values[1]), Path(values[2]), command)


def _release(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.releasing import ReleaseCommand, release

    command = tyro.cli(ReleaseCommand, args=flags, prog="omnifuse release MODEL NAME")
    release(Path(values[0]), values[1], command)


def _report(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.reporting import ReportCommand, report_run

    tyro.cli(ReportCommand, args=flags, prog="omnifuse report RUN")
    report_run(Path(values[0]))


def _reproduce(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.reproducing import ReproduceCommand, reproduce

    reproduce([*values, "TABLE"][0], tyro.cli(ReproduceCommand, args=flags, prog="omnifuse reproduce TABLE"))


_PATH = ("PATH", "a store, or a data set in its published layout")
_RECIPE = (("RECIPE", "a recipe (.py), or the config.json of a run"),)
_COMMANDS = {
    "quickstart": _Command("landscape, pretraining, fine-tuning, every sensor subset, report", _quickstart),
    "pretrain": _Command("pretrain encoders without labels", _pretrain, _RECIPE, listing=1),
    "finetune": _Command("fine-tune a model on labels", _finetune, _RECIPE, listing=1),
    "predict": _Command(
        "map an area of any size from rasters of any sensors", _predict, (("MODEL", "a model folder, or a name"),), listing=1
    ),
    "evaluate": _Command(
        "score a model, or the folds of a cross-validation, by a protocol of the literature",
        _evaluate,
        (
            ("MODEL", "a model or run folder, a name, or a quoted pattern"),
            ("STORE", "a labeled store, or a data set in its published layout"),
        ),
    ),
    "compare": _Command(
        "lay runs side by side, with paired differences at the same places",
        _compare,
        (("RUN", "folder of a fine-tuning or an evaluation"), ("OTHER", "another")),
        many=True,
    ),
    "robustness": _Command(
        "score a model under missing sensors, bad sensors and missing dates",
        _robustness,
        (("MODEL", "a model folder, or a name"), ("STORE", "a labeled store, or a data set in its published layout")),
    ),
    "embed": _Command(
        "write a vector for every place of a store, or for every cell or square of rasters",
        _embed,
        (("MODEL", "a model folder, or a name"), ("STORE", "a store, or a data set in its published layout; none for rasters")),
        optional=1,
    ),
    "search": _Command("find the most similar places by their vectors", _search, (("EMBEDDINGS", "table of vectors (.parquet)"),)),
    "map": _Command("show a map over its imagery on one page: swipe, zoom, click", _map, (("MAP", "a map of classes (.tif)"),)),
    "models": _Command("list the models that can be named, or show one", _models, (("NAME", "a model"),), optional=1),
    "export": _Command(
        "write a model for one subset of sensors as ONNX or torch.export",
        _export,
        (("MODEL", "a name, or the folder of a model"), ("OUT", "file to write")),
    ),
    "import": _Command(
        "write a published checkpoint as a model folder",
        _import,
        (("KIND", "what it is: utae"), ("PATH", "its file or folder"), ("OUT", "folder to write")),
    ),
    "release": _Command(
        "copy a trained model into checkpoints/ under a name",
        _release,
        (("MODEL", "the folder of a model"), ("NAME", "its name")),
    ),
    "report": _Command("write the page of a run, ended or not", _report, (("RUN", "folder of a run or of a quickstart"),)),
    "reproduce": _Command(
        "make a table of a paper again: modalities, ablation, fractions, fusions, regions, ...", _reproduce, (("TABLE", "its name"),)
    ),
    "data landscape": _Command("write the synthetic landscape", _landscape, (("OUT", "folder to write"),)),
    "data convert": _Command(
        "write a data set as a store; a second run goes on where a stopped one was",
        _convert,
        (("KIND", "what it is: pastis, ombria, store, ..."), ("PATH", "where it lies"), ("OUT", "store to write")),
        listing=1,
    ),
    "data check": _Command("list every problem, with its remedy", _check, (_PATH,)),
    "data show": _Command("draw one place", _show, (_PATH, ("PLACE", "its id, or its position"))),
    "data stats": _Command("statistics of bands, dates, classes and missing sensors", _stats, (_PATH,)),
    "data split": _Command(
        "add a named split to a store: --by fraction, kfold, blocks, or region, tile or another key of the metadata",
        _split,
        (("STORE", "the store"), ("NAME", "name of the split")),
    ),
    "data subset": _Command(
        "write some places of a store as a store",
        _subset,
        (("STORE", "the store"), ("OUT", "store to write")),
    ),
}

if __name__ == "__main__":
    sys.exit(main())
