"""Settings of dask under which long cells survive, each for a reason."""

from typing import Any

from niah.records.claims import MOST_DEATHS

SCHEDULER: dict[str, Any] = {
    # With 0, tasks that were only waiting on a worker that died are blamed for it: two cells that killed their worker
    # took six innocent ones with them.
    "distributed.scheduler.allowed-failures": MOST_DEATHS,
    # A model that holds the interpreter lock sends no heartbeat; after 5 minutes its worker would be shot.
    "distributed.scheduler.worker-ttl": None,
    # A task that is moved to an idle worker while it runs is lost (dask/distributed issue 7523); few are in flight.
    "distributed.scheduler.work-stealing": False,
}
WORKER: dict[str, Any] = {
    # A long scene takes gigabytes by right. The nanny would pause the worker at 80 % and kill it at 95 %.
    "distributed.worker.memory.terminate": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    # Daemonic processes may have no children, and a model's own code may start some.
    "distributed.worker.daemon": False,
}
SETTINGS: dict[str, Any] = {**SCHEDULER, **WORKER, "logging": {"distributed": "critical"}}


def environment() -> dict[str, str]:
    """Return the settings of workers as environment variables, for those that other programs start."""
    return {
        f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": str(value)
        for name, value in WORKER.items()
    }
