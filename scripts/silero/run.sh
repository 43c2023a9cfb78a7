#!/usr/bin/env bash
# Sweep Silero VAD with its state carried over the whole scene, and anew in each window: results/silero-speech.
#   scripts/silero/run.sh VOICES ESC50 BABBLE RECORDING
# VOICES: a folder of LibriSpeech's recordings, one a speaker. The others are those of scripts/yamnet.sh. The weights:
# make silero installs them. In order of worth, the dearest last: stop it at any time, and the same command goes on.
set -euo pipefail
cd "$(dirname "$0")/../.."
voices=${1:?a folder of voices}
esc50=${2:?the table of ESC-50}
babble=${3:?the babble file of the DASS repository}
recording=${4:?a recording of a place}
niah=${NIAH:-niah}

python3 scripts/silero/speech_needles.py "$voices" "$esc50" runs/silero/needles.csv
sweep() {
    $niah run --model scripts/silero/silero.toml --model scripts/silero/silero-anew.toml --device cpu \
        --needles runs/silero/needles.csv --babble "$babble" --out results/silero-speech/run "$@"
}
sweep --haystack silence --lengths 10,50,300
sweep --haystack gaussian --snr 0,-10 --lengths 10,50,300
sweep --haystack babble --haystack "$recording" --snr 0,-10 --lengths 10,50,300
sweep --haystack gaussian --snr -10 --lengths 10,1000,3600
python3 scripts/silero/state.py results/silero-speech/state.csv
$niah compare results/silero-speech/run --model silero-vad --model silero-vad-anew --out results/silero-speech
