#!/usr/bin/env bash
# Everything that needs a CUDA device, in order of worth. README.md beside this says how; every stage can be run again.
#   scripts/gpu/run.sh [correctness] [speed] [peers] [sweep]      all of them without arguments
# OUT    results/h200     where results go            DATA    the labelled clips (shared/data)
# DEVICE cuda             DRY=1: on a CPU with tiny settings, to try the scripts themselves
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python}
device=${DEVICE:-cuda}
out=${OUT:-results/h200}
work=${WORK:-runs/gpu}
data=${DATA:-${NIAH_SHARED:-../shared}/data}
niah="$python -m niah"
models="dass-small dass-medium ast-sin-base ast-interp aum-base ssamba-tiny ssast-tiny-patch"
lengths=10,50,300,1000,3600,9000,86400
dtype=bfloat16
sweep_lengths=10,50,100,300,1000,3000,9000
positions=0,0.25,0.5,0.75,1 position_lengths=10,300
trained="dass-small ast-sin-small"
limit=()
epochs=()
goldens=()
if [ "${DRY:-0}" = 1 ]; then
    device=cpu out=${OUT:-$work/dry} models="dass-nano ast-sin-nano" lengths=10,20 dtype=float32
    sweep_lengths=10,20 positions=0,1 position_lengths=20 trained="$work/dass-small.toml"
    limit=(--limit 10) epochs=(--set epochs=1 --set average_last=1 --set precision=float32)
    goldens=(--only dass-small-strong --dtypes float32)
fi
mkdir -p "$out" "$work"
say() { echo "== $(date +%T) $*" >&2; }

correctness() {
    say "goldens on $device"
    $python scripts/gpu/goldens.py "$out/goldens.csv" --device "$device" ${goldens[@]+"${goldens[@]}"} || failed+=(goldens)
    if [ "$device" = cpu ]; then return; fi
    say "tests marked gpu"
    $python -m pytest -m gpu -q 2>&1 | tee "$out/tests.txt" || failed+=(tests)
    say "precision"
    $python scripts/precision.py 2>"$work/precision.log" || failed+=(precision)
}

speed() {
    local chosen=()
    for model in $models; do chosen+=(--model "$model"); done
    say "latency and memory, $dtype"
    $niah bench "${chosen[@]}" --lengths $lengths --dtype $dtype --device "$device" --out "$out/bench" || failed+=(bench)
    [ "$device" = cpu ] && return
    say "the papers' claims"
    $niah bench --preset claims --device "$device" --dtype $dtype --out "$out/claims" || failed+=(claims)
    say "the scans by torch alone"
    $niah bench --model dass-medium --kernel chunked --lengths 10,50,300,1000 --dtype $dtype --device "$device" \
        --out "$out/chunked" || failed+=(chunked)
    say "training step"
    $python scripts/gpu/training_step.py "$out/training_step.csv" || failed+=(training-step)
}

peers() {
    if [ "$device" = cpu ]; then return; fi
    say "building the peers"
    bash scripts/gpu/peers.sh "$work/peers" >"$work/peers.log" 2>&1 || { failed+=(peers); tail -5 "$work/peers.log"; }
    export NIAH_MAMBA_SSM_SOURCE=${MAMBA_SSM:-$work/peers/mamba}
    say "benchmarks against them"
    $python -m pytest benchmarks/test_bench_peers.py -m bench -q --benchmark-json="$out/peers.json" || failed+=(peers-bench)
    $niah bench --model dass-medium --kernel mamba_ssm --lengths 10,50,300,1000,3600,9000 --dtype $dtype \
        --device "$device" --out "$out/mamba_ssm" || failed+=(mamba_ssm)
}

sweep() {
    say "clips"
    $python scripts/gpu/clips.py "$data" "$work/clips"
    local model recipe name run
    for model in $trained; do
        name=$(basename "$model" .toml)
        recipe=$work/$name-recipe.toml
        sed "s|^model = .*|model = \"$model\"|" "scripts/gpu/$name.toml" >"$recipe"
        say "training $name"
        $niah train "$recipe" --out "$work/train/$name" --train "$work/clips/train.csv" \
            --eval "$work/clips/heldout.csv" --device "$device" ${epochs[@]+"${epochs[@]}"} || { failed+=("train-$name"); continue; }
        say "sweeping $name"
        run=(--model "$model" --checkpoint "$work/train/$name/weights.safetensors" --needles "$work/clips/heldout.csv"
            --haystack zero --haystack gaussian --haystack babble --babble "$data/babble/babble_all.wav"
            --device "$device" --out "$out/run" ${limit[@]+"${limit[@]}"})
        $niah run "${run[@]}" --snr 0,10,20 --lengths $sweep_lengths --positions 0.5 || failed+=("sweep-$name")
        $niah run "${run[@]}" --snr 10 --lengths $position_lengths --positions $positions || failed+=("positions-$name")
    done
    if [ -d "$out/run" ]; then $niah report "$out/run"; fi
}

dry_model() { # a card of the full label set and next to no network, under the name of a recipe beside this script
    cat >"$work/dass-small.toml" <<'CARD'
name = "dass-small"
adapter = "niah.adapters.dass:Dass"
labels = "audioset-527"
[config]
depths = [1, 1]
dims = [16, 32]
patch = 8
CARD
}

if [ "${DRY:-0}" = 1 ]; then dry_model; fi
failed=()
for stage in "${@:-correctness speed peers sweep}"; do
    for one in $stage; do $one; done
done
if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}" | tee "$out/failed.txt"
    exit 1
fi
rm -f "$out/failed.txt"
say "all done: $out"
