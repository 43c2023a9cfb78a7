#!/usr/bin/env bash
# Everything that needs a CUDA device, in order of worth, in steps that fit ten minutes. README.md beside this says how.
#   scripts/gpu/run.sh [correctness] [speed] [peers] [sweep]      all of them without arguments
# A step that fails or takes too long is listed, and the next one follows; the same command again does what is not done.
# NAME      h200            results go to runs/gpu/NAME (ignored by git), an archive of them to $OUT or runs/gpu
# PREPARED  runs/gpu/prepared   what prepare.sh made, where it is there; else NIAH_SHARED (../shared)
# LIMIT_S   540             longest step                BUDGET_S   start no step after so many seconds
# DEVICE    cuda            DRY=1: on a CPU with tiny settings, to try the scripts themselves
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
python=${PYTHON:-python3}
device=${DEVICE:-cuda}
name=${NAME:-h200}
dtype=bfloat16
limit_s=${LIMIT_S:-540}
models="dass-small dass-medium ast-sin-base ast-interp aum-base ssamba-tiny ssast-tiny-patch"
lengths=10,50,300,1000,3600,9000,86400
sweep_lengths=10,50,100,300,1000,3000,9000
positions=0,0.25,0.5,0.75,1 position_lengths=10,300
trained="dass-small ast-sin-small"
limit=()
epochs=()
goldens=()
if [ "${DRY:-0}" = 1 ]; then
    device=cpu name=${NAME:-dry} models="dass-nano ast-sin-nano" lengths=10,20 dtype=float32
    sweep_lengths=10,20 positions=0,1 position_lengths=20
    limit=(--limit 10) epochs=(--set epochs=1 --set average_last=1 --set precision=float32)
    goldens=(--only dass-small-strong --dtypes float32)
fi
work=runs/gpu
results=$work/$name
logs=$results/logs
mkdir -p "$logs" "$results/done"
[ "${DRY:-0}" = 1 ] && trained="$results/dass-small.toml"
prepared=${PREPARED:-$work/prepared}
[ -d "$prepared/golden" ] && export NIAH_SHARED="$PWD/$prepared"
export NIAH_SHARED=${NIAH_SHARED:-$PWD/../shared}
data=${DATA:-$NIAH_SHARED/data}
export PYTHONPATH="$PWD:$PWD/$work/site${PYTHONPATH:+:$PYTHONPATH}" # nothing is installed
niah="$python -m niah"
failed=()
began=$SECONDS

say() { echo "== $(date +%T) $*" >&2; }

step() { # NAME COMMAND..: once, within the limit, its output in logs/NAME.log
    local step=$1 status=0
    shift
    [ -e "$results/done/$step" ] && return
    if [ -n "${BUDGET_S:-}" ] && [ $((SECONDS - began)) -ge "$BUDGET_S" ]; then
        failed+=("$step: not begun, no time left")
        return
    fi
    say "$step"
    timeout -k 10 "$limit_s" "$@" >"$logs/$step.log" 2>&1 || status=$?
    if [ $status = 0 ]; then
        touch "$results/done/$step"
        return
    fi
    [ $status = 124 ] && failed+=("$step: longer than $limit_s s") || failed+=("$step: exit $status, $logs/$step.log")
    tail -3 "$logs/$step.log" >&2
}

carried_packages() { # those wheels of prepare.sh that this Python lacks, by name of their module
    local wheel module
    mkdir -p "$work/site"
    for wheel in "$prepared"/wheels/*.whl; do
        [ -e "$wheel" ] || return 0
        module=$(basename "$wheel" | cut -d- -f1)
        $python -c "import $module" 2>"$logs/import.log" || $python -m zipfile -e "$wheel" "$work/site"
    done
}

correctness() {
    step goldens $python scripts/gpu/goldens.py "$results/goldens.csv" --device "$device" ${goldens[@]+"${goldens[@]}"}
    [ "$device" = cpu ] && return
    # on a device the default tests of the scans run there too: forward, backward, maps and sequences
    step scans $python -m pytest tests/scan -q -m "not slow and not fuzz and not network and not bench"
    step gpu-tests $python -m pytest tests/frontends tests/adapters tests/training -q -m gpu
    step precision $python scripts/precision.py
}

speed() {
    local model
    for model in $models; do
        step "bench-$model" $niah bench --model "$model" --lengths $lengths --dtype $dtype --device "$device" \
            --out "$results/bench/$model"
    done
    [ "$device" = cpu ] && return
    step claims $niah bench --preset claims --device "$device" --dtype $dtype --out "$results/claims"
    step chunked $niah bench --model dass-medium --kernel chunked --lengths 10,50,300,1000 --dtype $dtype \
        --device "$device" --out "$results/chunked"
    step training-step $python scripts/gpu/training_step.py "$results/training_step.csv"
}

peers() {
    [ "$device" = cpu ] && return
    step peers-build bash scripts/gpu/peers.sh "$work/peers"
    export NIAH_MAMBA_SSM_SOURCE=${MAMBA_SSM:-$work/peers/mamba}
    step peers-bench $python -m pytest benchmarks/test_bench_peers.py -m bench -q --benchmark-json="$results/peers.json"
    step mamba_ssm $niah bench --model dass-medium --kernel mamba_ssm --lengths 10,50,300,1000,3600,9000 \
        --dtype $dtype --device "$device" --out "$results/mamba_ssm"
}

sweep() {
    step clips $python scripts/gpu/clips.py "$data" "$results/clips"
    local model recipe name run snr haystack
    for model in $trained; do
        name=$(basename "$model" .toml)
        recipe=$results/$name-recipe.toml
        sed "s|^model = .*|model = \"$model\"|" "scripts/gpu/$name.toml" >"$recipe"
        step "train-$name" $niah train "$recipe" --out "$results/train/$name" --train "$results/clips/train.csv" \
            --eval "$results/clips/heldout.csv" --device "$device" ${epochs[@]+"${epochs[@]}"}
        [ -e "$results/done/train-$name" ] || continue
        run=($niah run --model "$model" --checkpoint "$results/train/$name/weights.safetensors"
            --needles "$results/clips/heldout.csv" --babble "$data/babble/babble_all.wav" --device "$device"
            --out "$results/run" ${limit[@]+"${limit[@]}"})
        for haystack in zero gaussian babble; do
            step "sweep-$name-$haystack" "${run[@]}" --haystack $haystack --snr 0,10,20 --lengths $sweep_lengths \
                --positions 0.5
            step "positions-$name-$haystack" "${run[@]}" --haystack $haystack --snr 10 --lengths $position_lengths \
                --positions $positions
        done
    done
    [ -d "$results/run" ] && step report $niah report "$results/run"
}

dry_model() { # a card of the full label set and next to no network, under the name of a recipe beside this script
    cat >"$results/dass-small.toml" <<'CARD'
name = "dass-small"
adapter = "niah.adapters.dass:Dass"
labels = "audioset-527"
[config]
depths = [1, 1]
dims = [16, 32]
patch = 8
CARD
}

[ "${DRY:-0}" = 1 ] && dry_model
carried_packages
for stage in "${@:-correctness speed peers sweep}"; do
    for one in $stage; do $one; done
done
rm -f "$results/failed.txt"
[ ${#failed[@]} -gt 0 ] && printf 'failed: %s\n' "${failed[@]}" | tee "$results/failed.txt"
archive=${OUT:-$work}/$name.tar.gz
tar -czf "$archive" --exclude "checkpoint.pt" --exclude "tensorboard" -C "$work" "$name"
say "archive: $archive"
[ ${#failed[@]} = 0 ] || exit 1
say "all done: $results"
