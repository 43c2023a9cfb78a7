"""Runs under Slurm itself: shards in a job array, and jobs that dask-jobqueue submits."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from niah.cluster.driver import sweep_on_cluster
from niah.cluster.spec import ClusterSpec
from niah.sweep.options import RunOptions
from niah.sweep.share import Share
from tests.helpers import tiny
from tests.helpers.slurm import Slurm, require_slurm
from tests.helpers.tiny_sweep import Material, cells_of

pytestmark = pytest.mark.slow

LENGTHS = (10.0, 12.0, 14.0, 16.0)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    require_slurm()
    with Slurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def alone(material: Material) -> Path:
    out = material.folder / "alone-slurm"
    material.run(out, lengths=LENGTHS)
    return out


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material.make(tmp_path_factory.mktemp("material"))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, slurm: Slurm) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tiny.REPOSITORY))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SLURM_CONF", str(slurm.conf))
    monkeypatch.setitem(slurm.env, "PYTHONPATH", str(tiny.REPOSITORY))


def command(material: Material, out: Path) -> str:
    lengths = ",".join(f"{s:g}" for s in LENGTHS)
    return (
        f"{sys.executable} -m niah run --model {material.card} --checkpoint {material.weights} "
        f"--needles {material.clips} --haystack zero --haystack gaussian --lengths {lengths} "
        f"--protocol dass-v1 --device cpu --out {out}"
    )


def test_shards_in_a_job_array(
    slurm: Slurm, material: Material, alone: Path, tmp_path: Path
) -> None:
    out, script = tmp_path / "out", tmp_path / "job.sh"
    script.write_text(
        "#!/bin/bash\n#SBATCH --array=1-3 --cpus-per-task=1\n"
        f"{command(material, out)} --shard $SLURM_ARRAY_TASK_ID/3\n"
    )
    slurm.wait_for(slurm.submit(script, f"--chdir={tmp_path}"))
    output = "".join(file.read_text() for file in tmp_path.glob("slurm-*.out"))
    assert (out / "report.html").is_file(), output
    pd.testing.assert_frame_equal(cells_of(out), cells_of(alone))
    assert not (out / "claims").exists()


def test_jobs_that_dask_submits(material: Material, alone: Path, tmp_path: Path) -> None:
    out, site = tmp_path / "out", tmp_path / "site.toml"
    site.write_text(
        'cores = 1\nmemory = "1GB"\nwalltime = "00:20:00"\nqueue = "main"\n'
        f'skip_directives = ["--mem"]\nlog_directory = "{tmp_path}"\ninterface = "lo"\n'
        'prologue = ["echo worker at $SLURM_JOB_ID"]\n'
    )
    options = RunOptions(
        models=(str(material.card),),
        checkpoint=str(material.weights),
        needles=str(material.clips),
        haystacks=("zero", "gaussian"),
        lengths_s=LENGTHS,
        protocol="dass-v1",
        device="cpu",
        out=out,
    )
    notes: list[str] = []
    sweep_on_cluster([options], ClusterSpec.parse("slurm:2", site), Share(), notes.append)
    pd.testing.assert_frame_equal(cells_of(out), cells_of(alone))
    output = "".join(file.read_text() for file in tmp_path.glob("*.out"))
    assert "worker at" in output
    assert not [note for note in notes if "error" in note], notes


def test_ranks_of_an_allocation(
    slurm: Slurm, material: Material, alone: Path, tmp_path: Path
) -> None:
    """`srun niah run --cluster srun`: one rank is the scheduler, one the client, the others work."""
    out, script = tmp_path / "out", tmp_path / "job.sh"
    script.write_text(
        "#!/bin/bash\n#SBATCH --ntasks=2\n"
        f"srun --ntasks=4 --overcommit {command(material, out)} --cluster srun\n"
    )
    slurm.wait_for(slurm.submit(script, f"--chdir={tmp_path}"))
    output = "".join(file.read_text() for file in tmp_path.glob("slurm-*.out"))
    assert (out / "report.html").is_file(), output
    pd.testing.assert_frame_equal(cells_of(out), cells_of(alone))
