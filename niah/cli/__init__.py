"""The command line: one file a command. Wrong input gives one line and exit status 2.

Heavy imports are inside the commands, so that listings and help never import torch.
"""

from niah.cli import interrupt  # first: Ctrl-C may come while the rest is imported

# isort: split
import io
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from niah.cli import (
    bench,
    causes,
    check,
    cite,
    compare,
    data,
    haystacks,
    leaderboard,
    locate,
    merge,
    models,
    preview,
    publish,
    report,
    run,
    scenes,
    score,
    status,
    stream,
    train,
    verify,
)
from niah.cli.messages import fail
from niah.cli.panels import grouped
from niah.errors import NiahError, is_interrupt, one_line
from niah.system.figure_files import wants_columns
from niah.system.folders import with_home
from niah.system.openmp import spin_briefly
from niah.system.printable import PLAIN_SIGNS
from niah.system.shortage import is_shortage
from niah.system.verbosity import is_verbose, set_verbosity
from niah.version import __version__

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it

app = typer.Typer(
    name="niah",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"niah {__version__}")
        raise typer.Exit


@app.callback()
def niah(
    version: Annotated[  # noqa: ARG001 - its callback prints it
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Results and errors only: no notes, no progress.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Errors with their traceback; progress every 5 s in a log."
        ),
    ] = False,
) -> None:
    """Audio needle in a haystack: hide labelled 10 s sounds in long recordings, measure whether a tagger names them.

    Start with `niah run`: it needs no data and no download. Then a released model on public clips, which are fetched:
    `niah run --model dass-medium --lengths 10,50,300`; then your own, by `--needles eval.csv`.
    """
    _check_current_folder()
    if quiet and verbose:
        raise NiahError("--quiet and --verbose exclude each other: give one of them")
    wants_columns()  # hours before figures are drawn
    set_verbosity("quiet" if quiet else "verbose" if verbose else "normal")


for command in (
    run.run,
    preview.preview,
    scenes.scenes,
    score.score,
    report.report,
    status.status,
    merge.merge,
    verify.verify,
    locate.locate,
    stream.stream,
    causes.causes,
    check.check,
    cite.cite,
    publish.publish,
    compare.compare,
    bench.bench,
    leaderboard.leaderboard,
    haystacks.haystacks,
    train.train,
):
    app.command()(grouped(command))
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")


def main() -> None:
    """Run `niah`."""
    spin_briefly()
    _print_in_any_encoding()
    set_verbosity("normal")
    status: int | None = None
    try:
        _check_not_empty(sys.argv[1:])
        with interrupt.raised_again():
            arguments = [_with_home(each) for each in sys.argv[1:]]
            status = app(arguments, prog_name="niah", standalone_mode=False)
    except NiahError as error:
        if is_verbose():
            traceback.print_exception(error)
        fail(str(error))
    except KeyboardInterrupt:
        status = INTERRUPTED
    except OSError as error:
        fail(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "))
    except Exception as error:
        if is_interrupt(error):
            status = INTERRUPTED
        elif is_shortage(error):
            if is_verbose():
                traceback.print_exception(error)
            fail(
                f"memory, threads or open files do not suffice ({one_line(error)}): raise the limit (of the job, or by "
                "`ulimit`), or end what else is running"
            )
        else:
            _fail_usage(error)
    if status == INTERRUPTED:  # typer turns Ctrl-C into this status without a message
        fail(interrupt.MESSAGE, status=status)
    sys.exit(status or 0)


def _check_not_empty(arguments: Sequence[str]) -> None:
    """Refuse an empty text, a shell's variable without a value: it would be the current folder, or no option at all.

    Raises:
        NiahError: there is one; names its option.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, sign, value = argument.partition("=")
        if not argument:
            option = before if before.startswith("-") else "an argument"
        if not argument or (option.startswith("--") and sign and not value):
            raise NiahError(
                f"{option} is an empty text, as of a variable that is not set: write a value, or leave it out"
            )


def _with_home(argument: str) -> str:
    option, sign, value = argument.partition("=")
    if sign and option.startswith("--"):
        return f"{option}={with_home(value)}"
    return with_home(argument)


def _check_current_folder() -> None:
    """Refuse a current folder that was deleted: relative paths lead nowhere, and torch's libraries do not load in it.

    Raises:
        NiahError: it was.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        raise NiahError(
            "the current folder was deleted: go to another (cd), and run the command again"
        ) from None


def _print_in_any_encoding() -> None:
    """Print ">=" for a sign that a terminal or pipe lacks, or "?": a sign in a table must not end a run of hours."""
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors=PLAIN_SIGNS)


def _fail_usage(error: Exception) -> None:
    """Report a usage error of typer (an unknown option, a missing argument) in one line; raise anything else, a bug.

    The base class of typer's errors is not public, and differs between versions.
    """
    format_message: Callable[[], str] | None = getattr(error, "format_message", None)
    if format_message is None:
        raise error
    message = format_message()
    if not message or message.lstrip().startswith(
        "Usage:"
    ):  # `niah` alone: the help is already printed
        print(message, end="")
        sys.exit(0)
    context = getattr(error, "ctx", None)
    see = f" (see `{context.command_path} --help`)" if context else ""
    fail(message.rstrip(".") + see)
