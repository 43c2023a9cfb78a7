#!/usr/bin/env bash
# Build the peers' CUDA kernels on this machine, for `make bench` and --kernel mamba_ssm; nothing of them is vendored.
#   scripts/gpu/peers.sh FOLDER      FOLDER gets the sources; needs nvcc, a C++ compiler, ninja and the network
# VMAMBA, MAMBA_SSM: folders with the sources where there is no network.
set -euo pipefail
folder=${1:?a folder for the sources}
python=${PYTHON:-python}
mkdir -p "$folder"
say() { echo "peers: $*" >&2; }
$python -c 'import torch; assert torch.cuda.is_available(), "no CUDA device"; print("torch", torch.__version__, torch.version.cuda)'
nvcc --version | tail -1
architecture=$($python -c 'import torch; print("%d.%d" % torch.cuda.get_device_capability())')
export TORCH_CUDA_ARCH_LIST=${TORCH_CUDA_ARCH_LIST:-$architecture} MAX_JOBS=${MAX_JOBS:-8}
export MAMBA_FORCE_BUILD=TRUE # never a prebuilt wheel for another torch

vmamba=${VMAMBA:-$folder/VMamba}
[ -d "$vmamba" ] || git clone --depth 1 https://github.com/MzeroMiko/VMamba "$vmamba"
say "VMamba's kernels ($(git -C "$vmamba" rev-parse --short HEAD 2>/dev/null || echo 'no commit'))"
$python -m pip install --no-build-isolation --no-deps "$vmamba/kernels/selective_scan"

mamba=${MAMBA_SSM:-$folder/mamba}
[ -d "$mamba" ] || git clone --depth 1 https://github.com/state-spaces/mamba "$mamba"
say "mamba-ssm ($(git -C "$mamba" rev-parse --short HEAD 2>/dev/null || echo 'no commit'))"
$python -m pip install --no-deps einops mambapy accelerated-scan
$python -m pip install --no-build-isolation --no-deps "$mamba"
$python -c 'import selective_scan_cuda, selective_scan_cuda_oflex'
say "built; the torch reference: export NIAH_MAMBA_SSM_SOURCE=$mamba"
