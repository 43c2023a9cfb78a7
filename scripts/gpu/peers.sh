#!/usr/bin/env bash
# Build the peers' CUDA kernels on this machine, for `make bench` and --kernel mamba_ssm; nothing of them is vendored.
#   scripts/gpu/peers.sh FOLDER      FOLDER gets the sources; needs nvcc, a C++ compiler, ninja and the network
# VMAMBA, MAMBA_SSM, DASS: folders with the sources where there is no network.
set -euo pipefail
folder=${1:?a folder for the sources}
python=${PYTHON:-python}
mkdir -p "$folder"
say() { echo "peers: $*" >&2; }
$python -c 'import torch; assert torch.cuda.is_available(), "no CUDA device"; print("torch", torch.__version__, torch.version.cuda)'
nvcc --version | tail -1
architecture=$($python -c 'import torch; print("%d.%d" % torch.cuda.get_device_capability())')
export TORCH_CUDA_ARCH_LIST=${TORCH_CUDA_ARCH_LIST:-$architecture} MAX_JOBS=${MAX_JOBS:-8}
# never a prebuilt wheel for another torch; and the CUDA scan, which mamba-ssm 2.3.2 and later leave out by default
export MAMBA_FORCE_BUILD=TRUE MAMBA_KEEP_CUDA_BUILD=TRUE

vmamba=${VMAMBA:-$folder/VMamba}
[ -d "$vmamba" ] || git clone --depth 1 https://github.com/MzeroMiko/VMamba "$vmamba"
say "VMamba's kernels ($(git -C "$vmamba" rev-parse --short HEAD 2>/dev/null || echo 'no commit'))"
rm -rf "$folder/selective_scan" && cp -r "$vmamba/kernels/selective_scan" "$folder/selective_scan"
# two names that CUDA 13's CUB no longer has, spelt as mamba-ssm's copy of the same file does
sed -i 's/cub::LaneId()/threadIdx.x \& 0x1f/; s/^\( *\)cub::CTA_SYNC()/\1__syncthreads()/' \
    "$folder/selective_scan/csrc/selective_scan/reverse_scan.cuh"
$python -m pip install --no-build-isolation --no-deps "$folder/selective_scan"

mamba=${MAMBA_SSM:-$folder/mamba}
[ -d "$mamba" ] || git clone --depth 1 https://github.com/state-spaces/mamba "$mamba"
say "mamba-ssm ($(git -C "$mamba" rev-parse --short HEAD 2>/dev/null || echo 'no commit'))"
$python -m pip install --no-deps einops mambapy accelerated-scan
$python -m pip install --no-build-isolation --no-deps "$mamba"
$python -c 'import torch, selective_scan_cuda, selective_scan_cuda_oflex'

dass=${DASS:-$folder/DASS} # the authors' network, which official_dass.py times
[ -d "$dass" ] || git clone --depth 1 https://github.com/Saurabhbhati/DASS "$dass"
say "built; the torch reference: export NIAH_MAMBA_SSM_SOURCE=$mamba"
