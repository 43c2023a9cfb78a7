"""Names of clusters and the options of a site."""

from pathlib import Path

import pytest

from niah.cluster.driver import sweep_on_cluster
from niah.cluster.settings import SETTINGS, environment
from niah.cluster.spec import ClusterSpec, SiteOptions
from niah.cluster.workers import gpus, job_options
from niah.errors import NiahError
from niah.sweep.options import RunOptions
from niah.sweep.share import Share

SITE = """
cores = 8
memory = "64GB"
walltime = "04:00:00"
queue = "gpu"
account = "audio"
extra_directives = ["--gres=gpu:1", "--requeue"]
skip_directives = ["--mem"]
prologue = ["module load cuda"]
interface = "ib0"
"""


def test_clusters_by_name() -> None:
    assert ClusterSpec.parse("local") == ClusterSpec("local")
    assert ClusterSpec.parse("slurm:8") == ClusterSpec("slurm", 8)
    assert ClusterSpec.parse("tcp://node7:8786").address == "tcp://node7:8786"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("slrum:8", "Did you mean 'slurm'"),
        ("local:0", "number of workers"),
        ("local:x", "number of workers"),
        ("tcp://node7", "tcp://HOST:PORT"),
        ("", "tcp://HOST:PORT"),
    ],
)
def test_what_is_no_cluster_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NiahError, match=reason):
        ClusterSpec.parse(text)


def test_a_site_becomes_the_options_of_jobs(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(SITE)
    spec = ClusterSpec.parse("slurm:8", file)
    assert spec.longest_slice_s == 4 * 3600 / 10
    options = job_options(spec)
    assert options["processes"] == 1
    assert (options["queue"], options["account"], options["interface"]) == ("gpu", "audio", "ib0")
    assert options["job_extra_directives"] == ["--gres=gpu:1", "--requeue"]
    assert options["job_directives_skip"] == ["--mem"]
    assert options["job_script_prologue"][-1] == "module load cuda"
    assert "export OMP_NUM_THREADS=8 NUMBA_NUM_THREADS=8" in options["job_script_prologue"]
    assert (
        "export DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE=False" in options["job_script_prologue"]
    )
    extra = options["worker_extra_args"]
    assert extra[extra.index("--nthreads") + 1] == "1"
    assert extra[extra.index("--lifetime") + 1] == "14100s"  # five minutes before the job's end
    short = SiteOptions(walltime="00:10:00")
    extra = job_options(ClusterSpec("slurm", 1, site=short))["worker_extra_args"]
    assert extra[extra.index("--lifetime") + 1] == "540s"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('walltme = "1:00"', "unknown key 'walltme'. Did you mean 'walltime'"),
        ('walltime = "4 hours"', "walltime must be"),
        ('walltime = "00:00:30"', "at least a minute"),
        ("cores = 0", "cores must be at least 1"),
        ('cores = "8"', "key 'cores'"),
        ("x", "not valid TOML"),
    ],
)
def test_wrong_options_are_refused(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(text)
    with pytest.raises(NiahError, match=reason):
        ClusterSpec.parse("slurm", file)
    with pytest.raises(NiahError, match="not of 'local'"):
        ClusterSpec.parse("local", file)


def test_walltimes() -> None:
    assert SiteOptions(walltime="2-01:00:00").walltime_s == 49 * 3600
    assert SiteOptions(walltime="01:30").walltime_s == 5400


def test_settings_are_known_to_dask() -> None:
    """A setting that dask renames would be passed over in silence."""
    import dask
    import distributed  # noqa: F401  # its settings come with it

    for name in SETTINGS:
        if name == "logging":
            continue
        dask.config.get(name)  # KeyError where there is none
    assert "DASK_DISTRIBUTED__WORKER__DAEMON" in environment()


def test_gpus_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-abc")
    assert gpus() == ["2", "GPU-abc"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []


def test_jobs_that_cannot_be_submitted_say_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "qsub").write_text(
        "#!/bin/sh\necho nothing >&2\necho 'qsub: no such queue' >&2\nexit 3\n"
    )
    (tmp_path / "qsub").chmod(0o755)
    for kind, reason in (("pbs", "qsub: no such queue"), ("slurm", "'sbatch'")):
        options = RunOptions(
            models=("dass-nano",),
            limit=2,
            haystacks=("zero",),
            lengths_s=(10.0,),
            out=tmp_path / kind,
        )
        with pytest.raises(
            NiahError, match=f"--cluster {kind}: no job could be submitted: .*{reason}"
        ):
            sweep_on_cluster([options], ClusterSpec.parse(f"{kind}:2"), Share())
