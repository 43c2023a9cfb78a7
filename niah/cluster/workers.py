"""Workers of dask.distributed: on this machine, at a scheduler's address, or jobs of a batch system.

Each worker runs one task at a time, in one thread, and has one GPU, or a group of cores. Nothing outside this module
knows which kind they are.
"""

import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from niah.cluster.settings import SCHEDULER, SETTINGS, environment
from niah.cluster.spec import BATCH_SYSTEMS, LOCAL, RUNNER, ClusterSpec
from niah.errors import NiahError

if TYPE_CHECKING:
    from distributed import Client

CORES_A_WORKER = 4  # of a machine without GPUs
CONNECT_S = 30.0
_MARGIN_S = 300.0  # a worker ends so long before its job does, or after nine tenths of a short one


@contextmanager
def connected(spec: ClusterSpec) -> Iterator["Client"]:
    """Start, or connect to, the workers of `spec`; those that were started end with the block.

    Raises:
        NiahError: the extra `cluster` is not installed, nobody answers at the address, or jobs cannot be submitted.
    """
    if importlib.util.find_spec("distributed") is None:
        raise NiahError("--cluster needs dask.distributed: pip install 'audio-niah[cluster]'")
    import dask
    from distributed import Client

    for name in ("distributed", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # notes say what matters
    with dask.config.set(SETTINGS):
        if spec.address:
            try:
                client = Client(spec.address, timeout=CONNECT_S, set_as_default=False)
            except (OSError, ValueError) as error:
                raise NiahError(f"no dask scheduler answers at {spec.address}: {error}") from error
            with client:
                yield client
            return
        with _closing(_cluster(spec)) as cluster, Client(cluster, set_as_default=False) as client:
            yield client


@contextmanager
def _closing(cluster: Any) -> Iterator[Any]:
    """Close a cluster after the block, one too whose first job was never submitted."""
    try:
        yield cluster
    finally:
        with suppress(AssertionError):  # distributed's, of a worker that did not start
            cluster.close()


def cluster_notes(client: "Client", spec: ClusterSpec) -> list[str]:
    """Return notes on a cluster: its dashboard; settings of a scheduler of the user's own that lose long cells."""
    notes = []
    if importlib.util.find_spec("bokeh") is not None and client.dashboard_link:
        notes.append(f"dashboard: {client.dashboard_link}")
    if spec.address:
        with suppress(OSError):  # a scheduler that restarts just now
            notes += _lossy_settings(client)
    return notes


def _lossy_settings(client: "Client") -> list[str]:
    stored = client.run_on_scheduler(_configured, tuple(SCHEDULER))
    return [
        f"the scheduler has {name}: {stored[name]}; {value} suits long cells (docs/operations.md)"
        for name, value in SCHEDULER.items()
        if stored[name] != value
    ]


def _configured(names: tuple[str, ...]) -> dict[str, Any]:
    import dask

    return {name: dask.config.get(name, None) for name in names}


def _cluster(spec: ClusterSpec) -> Any:
    if spec.kind == LOCAL:
        return local_cluster(spec.workers)
    if spec.kind == RUNNER:
        return _runner()
    assert spec.kind in BATCH_SYSTEMS
    return job_cluster(spec)


def gpus() -> list[str]:
    """Return the GPUs of this machine that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def local_cluster(count: int) -> Any:
    """Return a cluster of this machine: a worker a GPU, or a worker a group of cores.

    Args:
        count: number of workers; 0 for one a GPU, or one for every four cores.
    """
    from distributed import Nanny, Scheduler, SpecCluster

    devices, cores = (
        gpus(),
        len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
    )
    count = count or len(devices) or max(1, cores // CORES_A_WORKER)
    threads = str(max(1, cores // count))
    specs = {}
    for index in range(count):
        env = {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        if devices:  # more workers than GPUs share them in turn
            env["CUDA_VISIBLE_DEVICES"] = devices[index % len(devices)]
        options = {"nthreads": 1, "memory_limit": 0, "env": env, "dashboard_address": None}
        specs[f"worker{index}"] = {"cls": Nanny, "options": options}
    has_dashboard = importlib.util.find_spec("bokeh") is not None
    scheduler = {
        "cls": Scheduler,
        "options": {
            "host": "127.0.0.1",
            "port": 0,
            "dashboard": has_dashboard,
            "dashboard_address": "127.0.0.1:0",
        },
    }
    return SpecCluster(workers=specs, scheduler=scheduler, name="niah")


def job_cluster(spec: ClusterSpec) -> Any:
    """Return a cluster of a batch system's jobs, through dask-jobqueue; each job is one worker.

    Args:
        spec: kind, number of jobs at most, options of the site.

    Raises:
        NiahError: dask-jobqueue or the batch system's programs are not installed.
    """
    if importlib.util.find_spec("dask_jobqueue") is None:
        raise NiahError(
            f"--cluster {spec.kind} needs dask-jobqueue: pip install 'audio-niah[cluster]'"
        )
    import dask_jobqueue

    kind = getattr(dask_jobqueue, f"{spec.kind.upper()}Cluster")
    refused: list[str] = []
    plain: Any = kind.job_cls

    class Job(plain):  # type: ignore[misc]  # chosen by the user
        async def _submit_job(self, script_filename: str) -> Any:
            try:
                return await super()._submit_job(script_filename)
            except (OSError, RuntimeError) as error:
                refused.append(f"--cluster {spec.kind}: no job could be submitted: {_last(error)}")
                raise

    try:
        cluster = kind(job_cls=Job, **job_options(spec))
    except (RuntimeError, ValueError, FileNotFoundError) as error:
        raise NiahError(f"--cluster {spec.kind}: {error}") from error
    cluster.niah_refused = refused
    # jobs that end at their walltime, or are preempted, are replaced while there is work
    cluster.adapt(minimum_jobs=1, maximum_jobs=spec.workers or 1)
    return cluster


def _last(error: BaseException) -> str:
    """Return the last line of what a command said, without dask-jobqueue's lines around it."""
    said = str(error).partition("stderr:")[2] or str(error)
    return ([line.strip() for line in said.splitlines() if line.strip()] or [str(error)])[-1]


def refused_job(client: "Client") -> str:
    """Return the batch system's reason why the last job could not be submitted; "" where all could."""
    return next(reversed(getattr(client.cluster, "niah_refused", [])), "")


def job_options(spec: ClusterSpec) -> dict[str, Any]:
    """Return dask-jobqueue's options of a site."""
    site = spec.site
    lifetime_s = max(
        site.walltime_s - _MARGIN_S, 0.9 * site.walltime_s if site.walltime_s < 3000 else 0
    )
    options: dict[str, Any] = {
        "cores": site.cores,
        "processes": 1,
        "memory": site.memory,
        "walltime": site.walltime,
        "job_extra_directives": list(site.extra_directives),
        "job_directives_skip": list(site.skip_directives),
        "job_script_prologue": [
            *(f"export {name}={value}" for name, value in environment().items()),
            f"export OMP_NUM_THREADS={site.cores} NUMBA_NUM_THREADS={site.cores}",
            *site.prologue,
        ],
        # of options that are there twice the last counts: one task at a time needs no `resources`
        "worker_extra_args": [
            *("--nthreads", "1", "--memory-limit", "0", "--no-dashboard"),
            *("--lifetime", f"{lifetime_s:.0f}s", "--lifetime-stagger", f"{lifetime_s / 50:.0f}s"),
        ],
        "scheduler_options": {"dashboard_address": ":0"},
        "python": site.python or sys.executable,
    }
    names = ("queue", "account", "interface", "local_directory", "log_directory")
    options |= {name: value for name in names if (value := getattr(site, name))}
    return options


def _runner() -> Any:
    """Return the cluster of an allocation, `srun -n N niah run --cluster srun`: two ranks are scheduler and client."""
    if "SLURM_PROCID" not in os.environ:
        raise NiahError("--cluster srun is for `srun niah run ..` inside an allocation of Slurm")
    from dask_jobqueue.slurm import SLURMRunner

    try:
        return SLURMRunner(worker_options={"nthreads": 1, "memory_limit": 0})
    except KeyboardInterrupt:
        if os.environ["SLURM_PROCID"] == "1":
            raise
        raise SystemExit(0) from None  # how the scheduler's and the workers' ranks end
