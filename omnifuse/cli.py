"""The `omnifuse` command. Only the command that is asked for is imported, so that `--help` needs no torch."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from omnifuse.errors import OmnifuseError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; bad input prints one sentence, not a traceback."""
    parser = argparse.ArgumentParser(prog="omnifuse", description="One self-supervised model for any subset of Earth-observation sensors.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("quickstart", help="landscape, pretraining, fine-tuning, every sensor subset, report", add_help=False)
    data = commands.add_parser("data", help="make data").add_subparsers(dest="task", required=True, metavar="TASK")
    what = {
        "pretrain": (commands, "pretrain encoders without labels", "RECIPE", "a recipe (.py), or the config.json of a run"),
        "finetune": (commands, "fine-tune a model on labels", "RECIPE", "a recipe (.py), or the config.json of a run"),
        "landscape": (data, "write the synthetic landscape", "OUT", "folder to write"),
    }
    subs = {}
    for name, (group, text, argument, meaning) in what.items():
        more = f"After {argument} come flags; `omnifuse {'data ' if group is data else ''}{name} {argument} --help` lists them."
        subs[name] = group.add_parser(name, help=text, description=text, epilog=more, add_help=False)
        subs[name].add_argument("path", metavar=argument, type=Path, nargs="?", help=meaning)
    known, flags = parser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    if getattr(known, "path", known) is None:  # `omnifuse pretrain --help`: the flags depend on the recipe that is not there
        subs[getattr(known, "task", known.command)].print_help()
        return 0 if {"-h", "--help"} & set(flags) else 2
    try:
        _COMMANDS[known.command](known, flags)
    except OmnifuseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _quickstart(known: argparse.Namespace, flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.quickstart import QuickstartConfig, quickstart

    quickstart(tyro.cli(QuickstartConfig, args=flags, prog="omnifuse quickstart"))


def _pretrain(known: argparse.Namespace, flags: list[str]) -> None:
    from omnifuse.runs.pretraining import PretrainConfig, pretrain
    from omnifuse.runs.recipe import read_recipe, with_flags

    pretrain(with_flags(read_recipe(known.path, PretrainConfig), flags, f"omnifuse pretrain {known.path}"))


def _finetune(known: argparse.Namespace, flags: list[str]) -> None:
    from omnifuse.runs.finetuning import FinetuneConfig, finetune
    from omnifuse.runs.recipe import read_recipe, with_flags

    finetune(with_flags(read_recipe(known.path, FinetuneConfig), flags, f"omnifuse finetune {known.path}"))


def _data(known: argparse.Namespace, flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.data import LandscapeCommand, write_landscape

    command = tyro.cli(tyro.conf.OmitArgPrefixes[LandscapeCommand], args=flags, prog="omnifuse data landscape OUT")
    write_landscape(known.path, command)


_COMMANDS = {"quickstart": _quickstart, "pretrain": _pretrain, "finetune": _finetune, "data": _data}

if __name__ == "__main__":
    sys.exit(main())
