"""Several processes or machines: the cluster that was typed, and an orderly end when a batch system asks for one."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from niah.cli import interrupt
from niah.cli.messages import fail
from niah.errors import NiahError, Terminated

if TYPE_CHECKING:
    from niah.cluster.spec import ClusterSpec
    from niah.sweep.share import Share

TERMINATED = 143  # exit status after SIGTERM, as shells have it


def cluster_spec(text: str, options: Path | None, share: "Share") -> "ClusterSpec | None":
    """Check the cluster that was typed; None without one."""
    from niah.cluster.spec import ClusterSpec

    if not text:
        if options is not None:
            raise NiahError(
                "--cluster-options are of a batch system: add --cluster slurm, pbs, sge or lsf"
            )
        return None
    if share.is_shard:
        raise NiahError(
            "--shard is for processes without an engine: leave --cluster out, or --shard"
        )
    return ClusterSpec.parse(text, options)


@contextmanager
def end_on_sigterm() -> Iterator[None]:
    """Have SIGTERM, which batch systems send before they kill, end the block: claims are given back at once."""

    def end(*_: object) -> None:
        raise interrupt.watched(Terminated, signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except Terminated:
        fail("stopped; the same command goes on from what is finished", status=TERMINATED)
    finally:
        signal.signal(signal.SIGTERM, before)
