#!/usr/bin/env bash
# Sweep BirdNET and YAMNet over the same clips in the same windows: the run directory of results/birdnet-esc50.
#   scripts/birdnet/run.sh ESC50 BABBLE RECORDING
# The arguments are those of scripts/yamnet.sh. Weights and LiteRT: make birdnet installs them.
set -euo pipefail
cd "$(dirname "$0")/../.."
esc50=${1:?the table of ESC-50}
babble=${2:?the babble file of the DASS repository}
recording=${3:?a recording of a place}
niah=${NIAH:-niah}

python3 scripts/birdnet/needles.py "$esc50" runs/birdnet/needles.csv
sweep() {
    $niah run --model scripts/birdnet/birdnet.toml --model yamnet --labels scripts/birdnet/classes.csv \
        --needles runs/birdnet/needles.csv --limit 96 --window 3 --hop 3 --babble "$babble" --device cpu \
        --out results/birdnet-esc50/run "$@"
}
noises=(--haystack babble --haystack "$recording")
sweep --haystack silence --lengths 10,50,300
sweep "${noises[@]}" --snr 10 --lengths 10,50
sweep "${noises[@]}" --snr 10 --lengths 10,300
sweep --haystack silence --lengths 10,9000
sweep "${noises[@]}" --snr 0 --lengths 10,50
$niah compare results/birdnet-esc50/run --model birdnet --model yamnet --out results/birdnet-esc50
