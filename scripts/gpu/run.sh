#!/usr/bin/env bash
# Everything that needs a CUDA device, in order of worth, in steps that fit ten minutes. README.md beside this says how.
#   scripts/gpu/run.sh [correctness] [speed] [peers] [sweep]      all of them without arguments
# A step that fails or takes too long is listed, and the next one follows; the same command again does what is not done.
# NAME      the card's, h100    results go to runs/gpu/NAME (ignored by git), an archive of them to $OUT or runs/gpu
# PREPARED  runs/gpu/prepared   what prepare.sh made, where it is there; else NIAH_SHARED (../shared)
# PEERS     $PREPARED/peers  other people's kernels, built elsewhere for this Python, torch and card; else they are built
# DASS_SOURCE  src/models of the authors' repository, to time their network; default: $PEERS/dass
# LIMIT_S   540             longest step                BUDGET_S   stop all after so many seconds
# JOBS      1               processes at a time where nothing is timed: goldens, training, sweeps
# FAMILIES  of goldens.py, in the correctness stage     MODELS, LENGTHS, REPEATS   of the speed stage
# TRAINED, EPOCHS, CLIPS (held-out ones), SWEEP_LENGTHS   of the sweep: to fit less time
# A cache of compiled kernels that prepare.sh made (triton.tar.xz) is taken: the first passes compile for minutes.
# TRAININGS runs/gpu/NAME/train  weights and checkpoints, half a gigabyte an epoch: on a lent machine /dev/shm/train is faster
# DEVICE    cuda            DRY=1: on a CPU with tiny settings, to try the scripts themselves
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
python=${PYTHON:-python3}
device=${DEVICE:-cuda}
card=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -1 | cut -d' ' -f2 | tr '[:upper:]' '[:lower:]')
name=${NAME:-${card:-cuda}}
dtype=bfloat16
limit_s=${LIMIT_S:-540}
models=${MODELS:-dass-small dass-medium ast-sin-base ast-interp aum-base ssamba-tiny ssast-tiny-patch}
lengths=${LENGTHS:-10,50,300,1000,3600,9000,86400}
repeats=${REPEATS:-5}
sweep_lengths=${SWEEP_LENGTHS:-10,50,100,300,1000,3000,9000}
positions=0,0.25,0.75,1 position_lengths=10,300
trained=${TRAINED:-dass-small ast-sin-small}
longest_attention=300 # seconds of the sweep of a transformer, whose cost grows with the square
first_s=3000          # seconds: longer scenes come last
limit=(${CLIPS:+--limit "$CLIPS"})
epochs=()
[ -n "${EPOCHS:-}" ] && epochs=(--set "epochs=$EPOCHS" --set "average_last=$((EPOCHS < 10 ? EPOCHS : 10))")
families=${FAMILIES:-mamba dass transformers others} # of goldens.py
dtypes=float32,bfloat16,float16 snrs="10 20 0" haystacks="babble gaussian"
if [ "${DRY:-0}" = 1 ]; then
    device=cpu name=${NAME:-dry} models="dass-nano ast-sin-nano" lengths=10,20 dtype=float32
    sweep_lengths=10,20 first_s=10 positions=0,1 position_lengths=20
    limit=(--limit 10) epochs=(--set epochs=1 --set average_last=1 --set precision=float32)
    families=dass-small-strong
    dtypes=float32 snrs=10 haystacks=gaussian
fi
work=runs/gpu
results=$work/$name
logs=$results/logs
mkdir -p "$logs" "$results/done"
failed=$results/failed.txt # a line for each step that failed in this call
: >"$failed"
[ "${DRY:-0}" = 1 ] && trained="$results/dass-small.toml"
prepared=$(realpath -m "${PREPARED:-$work/prepared}")
[ -d "$prepared/golden" ] && export NIAH_SHARED=$prepared
export NIAH_SHARED=${NIAH_SHARED:-$PWD/../shared}
data=${DATA:-$NIAH_SHARED/data}
built=$(realpath -m "${PEERS:-$prepared/peers}")
dass_source=${DASS_SOURCE:-$built/dass}
export PYTHONPATH="$PWD:$PWD/$work/site${PYTHONPATH:+:$PYTHONPATH}" # nothing is installed
niah="$python -m niah"
jobs=${JOBS:-1}
threads=$(($(nproc) > jobs ? $(nproc) / jobs : 1)) # of each of them
trainings=${TRAININGS:-$results/train}
spare_s=0 # of the budget: kept for what follows
began=$SECONDS

say() { echo "== $(date +%T) $*" >&2; }

step() { # NAME COMMAND..: once, within the limit, its output in logs/NAME.log
    local step=$1 status=0 most_s=$limit_s why
    shift
    [ -e "$results/done/$step" ] && return
    if [ -n "${BUDGET_S:-}" ]; then
        local left_s=$((BUDGET_S - spare_s - SECONDS + began))
        [ $left_s -lt "$most_s" ] && most_s=$left_s
        if [ "$most_s" -lt 5 ]; then
            echo "$step: not begun, no time left" >>"$failed"
            return
        fi
    fi
    say "$step"
    # pytest then says what had failed, if its workers end in time; outcomes-NAME.csv has it in any case
    timeout -s INT -k 10 "$most_s" "$@" >"$logs/$step.log" 2>&1 || status=$?
    if [ $status = 0 ]; then
        touch "$results/done/$step"
        return
    fi
    [ $status = 124 ] && why="longer than $most_s s" || why="exit $status, $logs/$step.log"
    echo "$step: $why" >>"$failed"
    tail -3 "$logs/$step.log" >&2
}

aside() { # as step, beside others: JOBS at a time, until `wait`
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    OMP_NUM_THREADS=$threads NUMBA_NUM_THREADS=$threads step "$@" &
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

tested() { # NAME ARGUMENT..: pytest on the device; a row of outcomes-NAME.csv for each test as it ends
    local tests=$1 workers=() # most of their time is compilation
    shift
    [ "$(nproc)" -ge 8 ] && $python -c "import xdist" 2>"$logs/import.log" && workers=(-n 4)
    [ "$tests" = large ] && workers=() # some 35 GB of tensors: alone
    step "$tests" $python -m pytest -v --tb=short --continue-on-collection-errors -p tests.helpers.outcomes \
        --outcomes "$results/outcomes-$tests.csv" ${workers[@]+"${workers[@]}"} "$@"
}

correctness() { # in order of what was never seen on a card
    # of the scans' tests those that run on a device; the others, of torch and numba, need none
    local scans=(tests/scan/test_triton.py tests/scan/test_known_answer.py) each marked
    local default="not slow and not fuzz and not network and not bench"
    [ "$device" = cpu ] || tested gradients "${scans[@]}" -m "$default" -k mixed_precision # float64 ones: some 8 GB a process
    for each in $families; do
        aside "goldens-$each" $python scripts/gpu/goldens.py "$results/goldens-$each.csv" --dtypes "$dtypes" \
            --device "$device" --only "$each"
    done
    wait
    [ "$device" = cpu ] && return
    tested large tests/scan/test_triton.py -m gpu -k past_2_to_the_31
    mapfile -t marked < <(grep -rlE --include="test_*.py" "pytest\.mark\.gpu" tests | grep -v "^tests/scan/" | sort)
    tested gpu-tests "${marked[@]}" -m gpu
    # also the shapes that are slow in the interpreter
    tested scans "${scans[@]}" tests/networks/test_dass_fused.py -m "${default#not slow and }" \
        -k "not past_2_to_the_31 and not mixed_precision and not a_graph_gives and not whole_grid"
    touch "$logs/precision.begun"
    step precision $python scripts/precision.py --triton # the others need no card
    # the rows that were measured, also of a step that ran out of time
    [ results/benchmarks/precision.csv -nt "$logs/precision.begun" ] && cp results/benchmarks/precision.csv "$results"
}

speed() {
    local model
    for model in $models; do
        step "bench-$model" $niah bench --model "$model" --lengths $lengths --repeats "$repeats" --dtype $dtype \
            --device "$device" --out "$results/bench/$model"
    done
    [ "$device" = cpu ] && return
    step claims $niah bench --preset claims --device "$device" --dtype $dtype --out "$results/claims"
    step chunked $niah bench --model dass-medium --kernel chunked --lengths 10,50,300,1000 --dtype $dtype \
        --device "$device" --out "$results/chunked"
    step training-step $python scripts/gpu/training_step.py "$results/training_step.csv"
}

peers() {
    [ "$device" = cpu ] && return
    if [ -d "$built" ]; then
        export PYTHONPATH="$built:$PYTHONPATH" NIAH_MAMBA_SSM_SOURCE=${MAMBA_SSM:-$built}
    else
        step peers-build bash scripts/gpu/peers.sh "$work/peers"
        export NIAH_MAMBA_SSM_SOURCE=${MAMBA_SSM:-$work/peers/mamba}
        dass_source=${DASS_SOURCE:-${DASS:-$work/peers/DASS}/src/models}
    fi
    step peers-tests $python -m pytest tests/scan/test_mamba_ssm.py -q -m gpu
    step peers-bench $python -m pytest benchmarks/test_bench_peers.py -m bench -k on_a_device -q \
        --benchmark-json="$results/peers.json"
    [ -d "$dass_source" ] && step official-dass $python scripts/gpu/official_dass.py "$dass_source" "$results/official_dass.csv"
    step mamba_ssm $niah bench --model dass-medium --kernel mamba_ssm --lengths 10,50,300,1000,3600,9000 \
        --dtype $dtype --device "$device" --out "$results/mamba_ssm"
}

sweep() {
    step clips $python scripts/gpu/clips.py "$data" "$results/clips"
    local model name recipe most longest snr haystack
    spare_s=45
    for model in $trained; do
        name=$(basename "$model" .toml)
        recipe=$results/$name-recipe.toml
        sed "s|^model = .*|model = \"$model\"|" "scripts/gpu/$name.toml" >"$recipe"
        # one training at a time, which has the card to itself but for sweeps of the model before
        step "train-$name" $niah train "$recipe" --out "$trainings/$name" --train "$results/clips/train.csv" \
            --eval "$results/clips/heldout.csv" --device "$device" ${epochs[@]+"${epochs[@]}"}
        [ -e "$results/done/train-$name" ] || continue
        # a folder and a process for each haystack and SNR: what is done stays, whenever the time is over
        most=$(lengths_where "\$1 <= $first_s") longest=$(lengths_where "\$1 > $first_s")
        [[ $name = ast* ]] && most=$(lengths_where "\$1 <= $longest_attention") longest=
        scored zero "$most" 0.5 --haystack zero
        scored positions $position_lengths $positions --haystack babble --snr 10
        scored dass-v1 "$most" 0.5 --protocol dass-v1 --haystack zero --haystack babble --snr 10
        if [ -n "$longest" ]; then # which take as long as all others
            scored zero-longest "$longest" 0.5 --haystack zero
            for haystack in $haystacks; do
                scored "$haystack-${snrs%% *}-longest" "$longest" 0.5 --haystack "$haystack" --snr "${snrs%% *}"
            done
        fi
        for snr in $snrs; do
            for haystack in $haystacks; do
                scored "$haystack-$snr" "$most" 0.5 --haystack "$haystack" --snr "$snr"
            done
        done
    done
    wait
    spare_s=0
    joined run "$results"/parts/*-{zero*,positions,babble-*,gaussian-*}
    joined run-dass-v1 "$results"/parts/*-dass-v1
}

lengths_where() { # CONDITION of awk on $1
    tr , '\n' <<<"$sweep_lengths" | awk "$1" | paste -sd,
}

scored() { # WHAT LENGTHS POSITIONS OPTION..: one run of the model `name`
    local part=$name-$1 at=$2 where=$3
    shift 3
    aside "sweep-$part" $niah run --model "$model" --checkpoint "$trainings/$name/weights.safetensors" --batch-size 1 \
        --needles "$results/clips/heldout.csv" --babble "$data/babble/babble_all.wav" --device "$device" --dtype $dtype \
        --lengths "$at" --positions "$where" --out "$results/parts/$part" ${limit[@]+"${limit[@]}"} "$@"
}

joined() { # NAME FOLDER..: those that are there, in one run with its report
    local name=$1 folder folders=()
    shift
    for folder in "$@"; do [ -e "$folder/cells.csv" ] && folders+=("$folder"); done
    [ ${#folders[@]} -gt 0 ] || return 0
    rm -rf "${results:?}/$name" "$results/done/merge-$name" "$results/done/report-$name"
    step "merge-$name" $niah merge "${folders[@]}" --out "$results/$name"
    step "report-$name" $niah report "$results/$name"
}

pack() { # all results so far, without weights, for whoever brings them back: in parts of at most 15 MB where it is larger
    local archive=${OUT:-$work}/$name.tar.gz
    rm -f "$archive" "$archive".*
    local left_out=(--exclude "*.pt" --exclude "*.safetensors" --exclude tensorboard)
    [ -e "$results/run/cells.csv" ] && left_out+=(--exclude "$name/parts") # they are all in there
    tar -czf "$archive" "${left_out[@]}" -C "$work" "$name"
    if [ "$(wc -c <"$archive")" -gt 15000000 ]; then
        split -d -b 15000000 "$archive" "$archive." && rm "$archive" # cat NAME.tar.gz.* | tar -xz
    fi
    say "archive: $archive"
}

warm_cache() { # kernels compiled elsewhere, which name their files by this path
    local cache=/tmp/niah-triton
    [ -e "$prepared/triton.tar.xz" ] || return 0
    mkdir -p $cache && tar -xJf "$prepared/triton.tar.xz" -C $cache && export TRITON_CACHE_DIR=$cache
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
warm_cache
for stage in "${@:-correctness speed peers sweep}"; do
    for one in $stage; do
        $one
        pack
    done
done
pack
if [ -s "$failed" ]; then
    sed 's/^/failed: /' "$failed"
    exit 1
fi
rm "$failed"
say "all done: $results"
