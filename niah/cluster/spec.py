"""Names of clusters, `--cluster local:4`, and the options of a batch system, `--cluster-options site.toml`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from niah.errors import NiahError, nearest
from niah.toml_tables import build, read_toml

LOCAL, RUNNER = "local", "srun"
BATCH_SYSTEMS = ("slurm", "pbs", "sge", "lsf")
KINDS = (LOCAL, RUNNER, *BATCH_SYSTEMS)
_ADDRESS = re.compile(r"(tcp|tls|ucx)://\S+:\d+")
_WALLTIME = re.compile(r"(?:(\d+)-)?(\d+):(\d+)(?::(\d+))?")
MOST_WORKERS = 100_000
SHARE_OF_WALLTIME = 10  # slices are shorter than this part of it


@dataclass(frozen=True)
class SiteOptions:
    """Options of jobs at one site, in the words of dask-jobqueue; a job is one worker, with one GPU if it asks for it.

    Attributes:
        cores: cores of a job.
        memory: memory of a job, "64GB".
        walltime: limit of a job, "04:00:00".
        queue: partition or queue; "" for the site's own.
        account: account that is charged; "" for the user's own.
        extra_directives: further lines of the job's header, "--gres=gpu:1".
        skip_directives: header lines that the site refuses, by their beginning: "--mem".
        prologue: shell lines before the worker starts, "module load cuda".
        interface: network interface of the workers, "ib0"; "" for the default one.
        python: interpreter of the workers; "" for the one that runs this.
        local_directory: scratch folder on the node; "" for the default one.
        log_directory: folder of the jobs' output; "" for the present one.
    """

    cores: int = 1
    memory: str = "4GB"
    walltime: str = "01:00:00"
    queue: str = ""
    account: str = ""
    extra_directives: tuple[str, ...] = ()
    skip_directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    interface: str = ""
    python: str = ""
    local_directory: str = ""
    log_directory: str = ""

    @property
    def walltime_s(self) -> float:
        """Seconds of the walltime: "D-HH:MM:SS", "HH:MM:SS" or "HH:MM"."""
        match = _WALLTIME.fullmatch(self.walltime)
        if match is None:
            raise NiahError(f"walltime must be [D-]HH:MM[:SS], got '{self.walltime:.40}'")
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a TOML file of these options.

        Raises:
            NiahError: it cannot be read, or has an unknown key or a wrong value.
        """
        options = build(cls, read_toml(file, "cluster options"), f"cluster options {file}")
        if options.cores < 1:
            raise NiahError(f"cluster options {file}: cores must be at least 1")
        if options.walltime_s < 60:
            raise NiahError(f"cluster options {file}: walltime must be at least a minute")
        return options


@dataclass(frozen=True)
class ClusterSpec:
    """A kind of cluster, or the address of a scheduler; workers are 0 where not given."""

    kind: str
    workers: int = 0
    address: str = ""
    site: SiteOptions = SiteOptions()

    @classmethod
    def parse(cls, text: str, options: Path | None = None) -> Self:
        """Read "local", "local:4", "tcp://host:8786", "slurm:8" or "srun".

        Args:
            text: what the user typed.
            options: TOML file of a batch system.

        Raises:
            NiahError: an unknown kind, a wrong number, or options that cannot be read or have no use.
        """
        if _ADDRESS.fullmatch(text):
            kind, workers, address = "tcp", 0, text
        else:
            kind, colon, count = text.partition(":")
            if kind not in KINDS:
                raise NiahError(
                    f"--cluster '{text:.60}': give {', '.join(KINDS)} or tcp://HOST:PORT.{nearest(kind, KINDS)}"
                )
            if colon and not (
                count.isascii() and count.isdigit() and 1 <= int(count) <= MOST_WORKERS
            ):
                raise NiahError(
                    f"--cluster {text:.60}: the number of workers must be 1 to {MOST_WORKERS}"
                )
            workers, address = int(count or 0), ""
        if options is not None and kind not in BATCH_SYSTEMS:
            raise NiahError(f"--cluster-options are of {', '.join(BATCH_SYSTEMS)}, not of '{kind}'")
        site = SiteOptions() if options is None else SiteOptions.read(options)
        return cls(kind, workers, address, site)

    @property
    def longest_slice_s(self) -> float | None:
        """Seconds that a slice may take: under a tenth of the walltime; None without one."""
        if self.kind not in BATCH_SYSTEMS:
            return None
        return self.site.walltime_s / SHARE_OF_WALLTIME
