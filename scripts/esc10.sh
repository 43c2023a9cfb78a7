#!/usr/bin/env bash
# Train the nano models on ESC-10's folds 1, 2, 3, 5 and sweep fold 4: everything under results/esc10-nano.
#   scripts/esc10.sh ESC50 BABBLE
# ESC50: a manifest.csv or meta/esc50.csv with columns esc10 and fold. BABBLE: the DASS repository's babble_all.wav.
set -euo pipefail
cd "$(dirname "$0")/.."
esc50=${1:?the table of ESC-50, with columns esc10 and fold}
babble=${2:?the babble file of the DASS repository}
niah=${NIAH:-niah}
work=${WORK:-runs/esc10-training}
out=results/esc10-nano/run

for model in ast-sin-esc10 dass-esc10; do
    $niah train $model --out "$work/$model" \
        --train "$esc50?esc10=True&fold=1,2,3,5" --eval "$esc50?esc10=True&fold=5"
done

sweep() { # MODEL, then what differs
    local model=$1
    shift
    $niah run --model results/esc10-nano/$model.toml --checkpoint "$work/$model/weights.safetensors" \
        --needles "$esc50?esc10=True&fold=4" --babble "$babble" --out "$out" "$@"
}
all=(--haystack zero --haystack gaussian --haystack babble --snr 0,10,20)
sweep dass-esc10 "${all[@]}" --lengths 10,20,50,100,300,1000 --positions 0.5
sweep ast-sin-esc10 "${all[@]}" --lengths 10,20,50,100,300 --positions 0,0.5
for model in dass-esc10 ast-sin-esc10; do
    sweep $model "${all[@]}" --lengths 10,50 --positions 0,0.25,0.5,0.75,1
done
