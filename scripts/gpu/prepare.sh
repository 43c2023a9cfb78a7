#!/usr/bin/env bash
# Collect what a machine without this project's shared material, without a network and without soundfile needs, at most
# 40 MB, into one folder that run.sh finds: golden vectors, the clips of the sweep, wheels.
#   scripts/gpu/prepare.sh [FOLDER]        default: runs/gpu/prepared
# NIAH_SHARED  ../shared   where goldens and data lie        PYTHON_VERSION  3.12   of the other machine
# PEERS        none        a folder with other people's kernels, built for the other machine's Python, torch and card:
#                          selective_scan_cuda*.so, mamba_ssm/, dass/ (src/models of the authors' repository)
# WARM         none        a Python with torch and the other machine's Triton: compiles the kernels for it (warm.py)
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-runs/gpu/prepared}
shared=${NIAH_SHARED:-../shared}
python=${PYTHON:-python3}
limit_kb=40960
# those of the dependencies that images with torch lack, and what these need beside numpy and numba
wheels="soundfile cffi pycparser soxr librosa lazy_loader pooch audioread msgpack decorator platformdirs kaldi-native-fbank"

mkdir -p "$folder/golden" "$folder/data" "$folder/wheels"
cp "$shared"/golden/* "$folder/golden/"
$python scripts/gpu/collect.py "$shared/data" "$folder/data"
$python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --python-version "${PYTHON_VERSION:-3.12}" \
    --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 --dest "$folder/wheels" $wheels
if [ -n "${PEERS:-}" ]; then
    rm -rf "$folder/peers" && cp -r "$PEERS" "$folder/peers"
fi
if [ -n "${WARM:-}" ]; then # where run.sh unpacks it: the cache names its files absolutely
    cache=/tmp/niah-triton
    rm -rf $cache && mkdir -p $cache
    mamba=()
    for model in aum-base aum-small ssamba-tiny ssamba-small ssamba-base; do
        for dtype in float32 bfloat16 float16; do mamba+=("forward:$model:$dtype"); done
    done
    TRITON_CACHE_DIR=$cache $WARM -W ignore scripts/gpu/warm.py tests "${mamba[@]}" \
        forward:dass-small:{bfloat16,float32,float16} step:dass-small:{bfloat16,float16}
    (cd $cache && find . \( -name "*.json" -o -name "*.cubin" -o -name "*.ptx" \) | sort | tar -cJf - -T -) >"$folder/triton.tar.xz"
fi
size_kb=$(du -sk "$folder" | cut -f1)
echo "$folder: $((size_kb / 1024)) MB"
[ "$size_kb" -le $limit_kb ] || { echo "more than $((limit_kb / 1024)) MB" >&2; exit 1; }
