#!/usr/bin/env bash
# Train the nano models on ESC-10's folds 1, 2, 3, 5 and sweep fold 4: everything under results/esc10-nano.
#   scripts/esc10.sh ESC50 BABBLE
# ESC50: a manifest.csv or meta/esc50.csv with columns esc10 and fold. BABBLE: the DASS repository's babble_all.wav.
# What is trained already, and cells that are there, are not done again.
set -euo pipefail
cd "$(dirname "$0")/.."
esc50=${1:?the table of ESC-50, with columns esc10 and fold}
babble=${2:?the babble file of the DASS repository}
niah=${NIAH:-niah}
work=${WORK:-runs/esc10-training}
results=results/esc10-nano

fit() { # NAME RECIPE, then what differs
    local name=$1 recipe=$2
    shift 2
    [ -f "$work/$name/weights.safetensors" ] ||
        $niah train "$recipe" --out "$work/$name" \
            --train "$esc50?esc10=True&fold=1,2,3,5" --eval "$esc50?esc10=True&fold=5" "$@"
}
sweep() { # MODEL, then what differs
    local model=$1 run=run
    [ "$model" = aum-esc10 ] && run=run-aum
    shift
    $niah run --protocol dass-v1 --model $results/$model.toml --checkpoint "$work/$model/weights.safetensors" \
        --needles "$esc50?esc10=True&fold=4" --babble "$babble" --out $results/$run "$@"
}

models=(ast-sin-esc10 aum-esc10 dass-esc10)
for model in "${models[@]}"; do
    fit "$model" "$model"
done
all=(--haystack zero --haystack gaussian --haystack babble --snr 0,10,20)
sweep dass-esc10 "${all[@]}" --lengths 10,20,50,100,300,1000 --positions 0.5
sweep aum-esc10 "${all[@]}" --lengths 10,20,50,100,300,1000 --positions 0.5
sweep ast-sin-esc10 "${all[@]}" --lengths 10,20,50,100,300 --positions 0,0.5
for model in "${models[@]}"; do
    sweep "$model" "${all[@]}" --lengths 10,50 --positions 0,0.25,0.5,0.75,1
done

# Figure 3 in small: a model trained for each pooling, and the average's weights pooled otherwise afterwards.
pooled() { $niah run --protocol dass-v1 --needles "$esc50?esc10=True&fold=4" --haystack zero --lengths 10,50 --positions 0,0.25,0.5,0.75,1 "$@"; }
for pooling in first mid last first-token mid-token last-token max sum; do
    name=dass-esc10-$pooling
    fit "$name" dass-esc10 --set "config.pooling=$pooling"
    pooled --model "$work/$name/card.toml" --out $results/pooling
done
pooled --model $results/dass-esc10.toml --checkpoint "$work/dass-esc10/weights.safetensors" --out $results/pooling
for pooling in first mid last max top-k log-sum-exp; do
    pooled --model $results/dass-esc10.toml --checkpoint "$work/dass-esc10/weights.safetensors" \
        --pooling $pooling --out $results/pooling
done
python3 scripts/esc10_pooling.py
