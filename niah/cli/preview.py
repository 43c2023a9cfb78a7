"""`niah preview`."""

from pathlib import Path
from typing import Annotated

import typer

from niah.cli.messages import note
from niah.cli.options import (
    BABBLE_HELP,
    MODEL_HELP,
    OWN_LABELS_HELP,
    PROMPT_HELP,
    SAMPLE_RATE_HELP,
    TRUST_HELP,
)


def preview(
    needle: Annotated[Path, typer.Option(help="Sound file to hide.")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for features.npy, spectrogram.png (.svg, .pdf), scene.wav and, with a model, curve.csv."
        ),
    ],
    haystack: Annotated[str, typer.Option(help="Haystack, as in `niah run`.")] = "zero",
    babble: Annotated[Path | None, typer.Option(help=BABBLE_HELP)] = None,
    snr: Annotated[float, typer.Option(help="Needle over noise in dB.")] = 10.0,
    length: Annotated[
        float, typer.Option(help="Scene length in seconds; 10 is the needle alone.")
    ] = 50.0,
    position: Annotated[float, typer.Option(help="Where the needle starts, 0 to 1.")] = 0.5,
    protocol: Annotated[
        str, typer.Option(help="niah-v2 (its current version), or dass-v1 (the paper's harness).")
    ] = "niah-v2",
    level: Annotated[
        str | None,
        typer.Option(
            help="mix (noise under the needle too) or surround. [default: the protocol's own]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    model: Annotated[
        str,
        typer.Option(
            help=f"{MODEL_HELP}: for its front end and a curve of where it heard its top classes. "
            "[default: the front end of AST and DASS, no curve]"
        ),
    ] = "",
    checkpoint: Annotated[Path | None, typer.Option(help="Weights file for the model.")] = None,
    labels: Annotated[str, typer.Option(help=OWN_LABELS_HELP)] = "",
    sample_rate: Annotated[int | None, typer.Option(help=SAMPLE_RATE_HELP)] = None,
    prompt: Annotated[str, typer.Option(help=PROMPT_HELP)] = "",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help=TRUST_HELP)
    ] = False,
    method: Annotated[
        str,
        typer.Option(
            help="Method of the curve: positions (exact, for DASS), occlusion (any model) or auto."
        ),
    ] = "auto",
    curve: Annotated[
        bool,
        typer.Option(
            help="Draw where the model heard the needle, if its weights are on this machine."
        ),
    ] = True,
) -> None:
    """Write one scene as the model gets it: features, picture and sound."""
    from niah.preview.files import frontend_of, weights_at_hand
    from niah.preview.files import preview as write_preview

    source = adapter = None
    if model:
        from niah.adapters.model_source import ModelRequest
        from niah.adapters.sources import find_source

        request = ModelRequest(labels, sample_rate, prompt, trust_remote_code)
        source = find_source(model, request)
    if source and curve and not weights_at_hand(source, checkpoint):
        note(f"no curve: the weights of '{model}' are not on this machine; give --checkpoint")
    elif source and curve:
        from niah.adapters.loading import load_source

        adapter = load_source(source, checkpoint)
    frontend = adapter.frontend if adapter else frontend_of(source)
    written = write_preview(
        needle,
        haystack,
        snr_db=snr,
        length_s=length,
        position=position,
        out=out,
        protocol=protocol,
        babble=babble,
        seed=seed,
        level=level,
        frontend=frontend,
        adapter=adapter,
        method=method,
    )
    for path in written:
        print(path)
