"""Haystacks: each sound is what it says, reproducible from any sample, and named by its content."""

import hashlib
import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from niah import cards
from niah.audio import AudioError
from niah.audio.mono import CANCELLING
from niah.errors import NiahError
from niah.frontends.kaldi import KaldiFrontend
from niah.haystacks import load_haystack, sources
from niah.haystacks.energy_bank import NoiseBank
from niah.haystacks.sound_bank import BLOCK_HOPS, ENDLESS_HOPS
from niah.haystacks.sources import GaussianNoise, Sound, Tiled, VoiceMix
from niah.haystacks.synthetic_talkers import talker
from niah.randomness import keyed_generator
from niah.sweep.haystacks import named_haystacks
from niah.sweep.options import RunOptions

RATE = 16000
FRONTEND = KaldiFrontend()


def tones(n_voices: int = 3, n: int = 8000) -> list[NDArray[np.float32]]:
    t = np.arange(n) / RATE
    return [
        (0.1 * (k + 1) * np.sin(2 * np.pi * 200 * (k + 1) * t)).astype(np.float32)
        for k in range(n_voices)
    ]


def write_voices(folder: Path, n_voices: int) -> Path:
    folder.mkdir()
    for number, tone in enumerate(tones(n_voices)):
        soundfile.write(folder / f"voice{number}.wav", tone, RATE)
    return folder


SOUNDS: dict[str, Sound] = {
    "gaussian": GaussianNoise("test", 0),
    "tiled": Tiled(tones(1, 1234)[0]),
    "mix": VoiceMix(tones(), RATE, keyed_generator("test"), 5),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_any_stretch_is_the_same_bits_as_the_whole(name: str) -> None:
    whole = SOUNDS[name].samples(0, 200_000).copy()
    for start, count in (
        (0, 1),
        (65_535, 2),
        (131_000, 69_000),
        (1_233, 5_000),
        (65_530, 4_096),
        (7, 0),
    ):
        assert np.array_equal(SOUNDS[name].samples(start, count), whole[start : start + count])


def test_a_sound_without_room_in_memory_is_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "usable_bytes", lambda: 0)
    alone: dict[str, Sound] = {
        "gaussian": GaussianNoise("test", 0),
        "mix": VoiceMix(tones(), RATE, keyed_generator("test"), 5),
    }
    for name, sound in alone.items():
        for start, count in ((1_233, 5_000), (60_000, 140_000), (60_000, 140_000), (65_530, 9)):
            expected = SOUNDS[name].samples(start, count)
            assert np.array_equal(sound.samples(start, count), expected)


def test_gaussian_noise_is_white_with_unit_variance() -> None:
    noise = GaussianNoise("test", 0).samples(123, 400_000).astype(np.float64)
    assert abs(noise.mean()) < 0.01
    assert noise.var() == pytest.approx(1, abs=0.01)
    for lag in (1, 160, 65_536):
        assert abs(np.mean(noise[lag:] * noise[:-lag])) < 0.01


def test_gaussian_noise_differs_between_seeds() -> None:
    assert not np.array_equal(
        GaussianNoise("test", 0).samples(0, 9), GaussianNoise("test", 1).samples(0, 9)
    )


def test_tiled_repeats_from_its_first_sample() -> None:
    recording = tones(1, 1000)[0]
    assert np.array_equal(Tiled(recording).samples(0, 3500), np.tile(recording, 4)[:3500])


def test_a_mix_of_equal_voices_does_not_repeat_with_their_length() -> None:
    mix = VoiceMix(tones(4, 8000), RATE, keyed_generator("test"), 4)
    whole = mix.samples(0, 400_000).astype(np.float64)
    energy = np.dot(whole, whole)
    for lag in (8000, 16_000, *range(8000, 30_000, 997)):
        assert np.dot(whole[lag:], whole[:-lag]) / energy < 0.9


def test_voices_enter_a_mix_at_equal_rms() -> None:
    quiet, loud = tones(1)[0] * 0.01, tones(2)[1]
    spectrum = np.abs(
        np.fft.rfft(VoiceMix([quiet, loud], RATE, keyed_generator("a"), 2).samples(0, 320_000))
    )
    hertz = np.fft.rfftfreq(320_000, 1 / RATE)
    first = np.square(spectrum[(hertz > 150) & (hertz < 250)]).sum()
    second = np.square(spectrum[(hertz > 350) & (hertz < 450)]).sum()
    assert 0.4 < first / second < 2.5


def test_a_talker_sounds_like_speech_in_spectrum_and_rhythm() -> None:
    voice = np.mean([talker(k, 0, RATE).astype(np.float64) ** 2 for k in range(4)], axis=0)
    assert np.sqrt(voice.mean()) == pytest.approx(0.1, rel=1e-4)
    sound = talker(0, 0, RATE).astype(np.float64)
    power = np.square(np.abs(np.fft.rfft(sound)))
    hertz = np.fft.rfftfreq(len(sound), 1 / RATE)
    assert power[(hertz > 80) & (hertz < 4000)].sum() > 0.8 * power.sum()
    envelope = np.sqrt(np.square(sound).reshape(-1, 160).mean(axis=1))
    rhythm = np.square(np.abs(np.fft.rfft(envelope - envelope.mean())))
    rate = np.fft.rfftfreq(len(envelope), 0.01)
    syllables, flutter = (rate > 1) & (rate < 8), (rate > 12) & (rate < 19)
    assert rhythm[syllables].mean() > 5 * rhythm[flutter].mean()


def test_talkers_are_pure_functions_of_number_and_seed() -> None:
    assert np.array_equal(talker(3, 0, RATE), talker(3, 0, RATE))
    assert not np.array_equal(talker(3, 0, RATE), talker(4, 0, RATE))
    assert not np.array_equal(talker(3, 0, RATE), talker(3, 1, RATE))


@pytest.mark.parametrize("period", [160 * 9, 1234, 1507])
def test_bank_levels_and_squares_equal_the_tiled_sound(period: int) -> None:
    recording = (0.1 * np.random.default_rng(0).standard_normal(period)).astype(np.float32)
    bank = NoiseBank(Tiled(recording), FRONTEND, exact=True)
    assert bank.wraps
    tiled = np.tile(recording, 1 + 2_000_000 // period)
    for hop, gain in ((0, 1.0), (5, 0.01), (4090, 3.0)):
        stretch = tiled[hop * 160 :][: FRONTEND.samples(60)]
        energies = FRONTEND.energies(torch.from_numpy(stretch * np.float32(gain))[None])
        out = torch.empty(60, 128)
        bank.fill(out, hop, gain)
        plain = FRONTEND.normalise(FRONTEND.log_mel(energies))[0]
        torch.testing.assert_close(out, plain, atol=1e-3, rtol=0)
        exact = np.square(stretch[:9001], dtype=np.float64).sum()
        assert bank.square_sum(hop, 9001) == pytest.approx(exact, rel=1e-12)


def test_a_gain_that_goes_on_gives_the_bits_of_one_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recording = (1e-3 * np.random.default_rng(0).standard_normal(160 * 3000)).astype(np.float32)
    fresh, stored = (NoiseBank(Tiled(recording), FRONTEND, exact=True) for _ in range(2))
    block_bytes = BLOCK_HOPS * FRONTEND.mels * 4
    monkeypatch.setattr("niah.haystacks.energy_bank.FINISHED_BYTES", 2 * block_bytes)
    for number in range(12):
        plain, own = torch.empty(2, 700, FRONTEND.mels)
        fresh._finished.gain = -1.0  # no gain goes on
        fresh.fill(plain, 650 * number, 0.01)
        stored.fill(own, 650 * number, 0.01)
        assert torch.equal(own, plain)
    assert not fresh._finished.blocks
    assert len(stored._finished.blocks) == 2  # and no more


def test_bank_of_an_endless_sound_is_bounded() -> None:
    bank = NoiseBank(GaussianNoise("test"), FRONTEND)
    assert bank.hops == ENDLESS_HOPS
    assert not bank.wraps


def test_every_card_builds_or_says_what_it_needs() -> None:
    names = {card.name for card in cards.haystack_cards()}
    assert names == {"babble", "babble-official", "gaussian", "own", "silence", "zero"}
    for name in ("gaussian", "silence", "zero", "babble"):
        haystack = load_haystack(name)
        assert haystack.needs_snr == (name in ("gaussian", "babble"))


def test_names_tell_what_babble_it_is(tmp_path: Path) -> None:
    file = write_voices(tmp_path / "voices", 2) / "voice0.wav"
    assert load_haystack("babble").name == "babble-synthetic"
    assert load_haystack("babble", babble=file).name == "babble-voice0"
    assert load_haystack("babble", babble=file.parent).name == "babble-voices"
    assert load_haystack(file).name == "voice0"
    assert load_haystack(file.parent).name == "voices"


def test_the_official_file_is_known_by_its_content(shared: Path, tmp_path: Path) -> None:
    file = tmp_path / "renamed.wav"
    file.write_bytes((shared / "data" / "babble" / "babble_all.wav").read_bytes())
    for spec in ("babble", "babble-official"):
        haystack = load_haystack(spec, babble=file)
        assert haystack.name == "babble"
        assert haystack.tiled
        assert haystack.sound(RATE).period == 240_960


def test_fingerprints_follow_content_not_names(tmp_path: Path) -> None:
    folder = write_voices(tmp_path / "voices", 3)
    copy = tmp_path / "copy.wav"
    copy.write_bytes((folder / "voice1.wav").read_bytes())
    assert load_haystack(copy).fingerprint == load_haystack(folder / "voice1.wav").fingerprint
    assert load_haystack(copy).fingerprint != load_haystack(folder / "voice2.wav").fingerprint
    mixes = [load_haystack("babble", babble=folder, seed=seed).fingerprint for seed in (0, 0, 1)]
    assert mixes[0] == mixes[1] != mixes[2]
    assert load_haystack("gaussian").fingerprint != load_haystack("gaussian", seed=1).fingerprint


def test_a_mix_is_the_same_whenever_it_is_loaded(tmp_path: Path) -> None:
    folder = write_voices(tmp_path / "voices", 3)
    first, second = (load_haystack("babble", babble=folder, seed=4).sound(RATE) for _ in range(2))
    assert np.array_equal(first.samples(5000, 500), second.samples(5000, 500))


def test_a_folder_is_its_files_joined_in_order(tmp_path: Path) -> None:
    folder = write_voices(tmp_path / "voices", 2)
    files = [soundfile.read(folder / f"voice{k}.wav", dtype="float32")[0] for k in range(2)]
    assert np.array_equal(
        load_haystack(folder).sound(RATE).samples(0, 16_000), np.concatenate(files)
    )


def test_an_offset_that_counts_in_the_level_is_noted(tmp_path: Path) -> None:
    """Microphones of I2S give one: at an asked 10 dB the needle lay 30 dB above what is heard, without a word."""
    noise = 0.002 * np.random.default_rng(0).standard_normal(5 * RATE)
    for name, offset in (("plain", 0.0), ("faint", 2e-4), ("offset", 0.02)):
        soundfile.write(tmp_path / f"{name}.wav", noise + offset, RATE, subtype="FLOAT")
    assert load_haystack(tmp_path / "plain.wav").notes == ()
    assert load_haystack(tmp_path / "faint.wav").notes == ()
    options = RunOptions(haystacks=(str(tmp_path / "offset.wav"),), out=tmp_path / "run")
    (note,) = named_haystacks(options)[1]
    assert note.startswith("haystack offset: its samples have a mean beside 0 (a DC offset)")
    assert "needles lie 20.0 dB higher" in note
    bank = NoiseBank(load_haystack(tmp_path / "offset.wav").sound(RATE), KaldiFrontend())
    assert 20 * np.log10(bank.rms / noise.std()) == pytest.approx(20.04, abs=0.02)
    (tmp_path / "stereo").mkdir()
    for name in ("a", "b"):
        both = np.stack([noise, -0.9 * noise], axis=1)
        soundfile.write(tmp_path / "stereo" / f"{name}.wav", both, RATE)
    (note,) = load_haystack(tmp_path / "stereo").notes
    assert note == f"a.wav and 1 more: {CANCELLING}"


def test_bad_haystacks_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="'gaussian'"):
        load_haystack("gausian")
    with pytest.raises(NiahError, match="no such file"):
        load_haystack(tmp_path / "gone.wav")
    with pytest.raises(NiahError, match="no sound file"):
        load_haystack("babble", babble=tmp_path)
    (tmp_path / "text.wav").write_text("not audio")
    with pytest.raises(AudioError, match=r"text\.wav"):
        load_haystack(tmp_path / "text.wav")
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        load_haystack("babble", babble=tmp_path / "gone.wav")
    with pytest.raises(NiahError, match="makes no sound"):
        load_haystack("zero").sound(RATE)


def test_a_card_of_ones_own(tmp_path: Path) -> None:
    write_voices(tmp_path / "sounds", 1)
    card = tmp_path / "mine.toml"
    card.write_text(
        'name = "mine"\nbuilder = "niah.haystacks:recording"\ncontains = ["/m/015p6"]\n'
        '[source]\nfile = "sounds/voice0.wav"\n'
    )
    haystack = load_haystack(card)
    assert (haystack.name, haystack.contains) == ("mine", ("/m/015p6",))
    for builder in ("niah.haystacks:nothing", ".near:x", ":", "no_such:x"):
        card.write_text(f'name = "mine"\nbuilder = "{builder}"\n')
        with pytest.raises(NiahError, match="cannot be imported"):
            load_haystack(card)
    (tmp_path / "my_sounds.py").write_text(
        "from niah.haystacks import recording\n"
        "def rain(card, *, babble, seed):\n    return recording(card, babble=babble, seed=seed)\n"
    )
    card.write_text(card.read_text().replace("no_such:x", "my_sounds:rain"))
    card.write_text(f'{card.read_text()}[source]\nfile = "sounds/voice0.wav"\n')
    assert load_haystack(card).fingerprint == haystack.fingerprint  # a module beside the card
    for builder in ("json:loads", "builtins:dict"):
        card.write_text(f'name = "mine"\nbuilder = "{builder}"\n')
        with pytest.raises(NiahError, match="raised TypeError"):
            load_haystack(card)
    card.write_text(
        'name = "mine"\nbuilder = "niah.haystacks:recording"\n[source]\nfile = "no.wav"'
    )
    with pytest.raises(NiahError, match="no url"):
        load_haystack(card)


@pytest.mark.parametrize(
    ("answer", "period", "reason"),
    [
        ("x", "None", ""),
        ("x.tolist()", "np.int64(8000)", ""),
        ("x[1:]", "None", r"samples\(0, 50\) must return \(50,\) finite numbers, got \(49,\)"),
        ("x * np.nan", "None", "got .* with NaN or infinity"),
        ("'rain'", "None", "could not convert string"),
        ("x", "0", "must have a `period`, .* got 0"),
    ],
)
def test_a_sound_of_ones_own_is_checked_where_it_is_read(
    tmp_path: Path, answer: str, period: str, reason: str
) -> None:
    """NaN was reported as the model's; a sound without a period ended the run in a traceback."""
    (tmp_path / f"rain_{tmp_path.name}.py").write_text(
        "import numpy as np\nfrom niah.haystacks import Haystack\n"
        f"class Rain:\n    period = {period}\n"
        f"    def samples(self, start, count):\n        x = np.ones(count)\n        return {answer}\n"
        "def rain(card, *, babble, seed):\n"
        "    return Haystack(card.name, 'noise', 'rain-1', make_sound=lambda rate: Rain())\n"
    )
    card = tmp_path / "mine.toml"
    card.write_text(f'name = "mine"\nbuilder = "rain_{tmp_path.name}:rain"\n')
    haystack = load_haystack(card)
    if not reason:
        assert haystack.sound(RATE).samples(0, 50).dtype == np.float32
        return
    with pytest.raises(NiahError, match=f"haystack 'mine': .*{reason}"):
        haystack.sound(RATE).samples(0, 50)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            "card.name, 'nois', 'r', make_sound=sound",
            "fill must be zero or silence or noise or own",
        ),
        ("'gaussian', 'noise', 'r', make_sound=sound", "name must be another than the package's"),
        ("card.name, 'noise', 7, make_sound=sound", "fingerprint must be a text, got 7"),
        ("card.name, 'noise', ''", "fingerprint must be a text"),
        ("card.name, 'noise', 'r'", "make_sound must be a function"),
        ("card.name, 'noise', 'r', 'abc', make_sound=sound", "contains must be a tuple of ids"),
        ("card.name, 'noise', 'r', make_sound=fails", r"make_sound\(16000\) raised KeyError: 'no'"),
    ],
)
def test_a_haystack_of_ones_own_is_what_its_class_says(
    tmp_path: Path, fields: str, reason: str
) -> None:
    """A misspelt fill was silence, and a name of the package's took its rows; the others were tracebacks."""
    module = f"own_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{module}.py").write_text(
        "from niah.haystacks import Haystack\ndef sound(rate): return None\n"
        "def fails(rate): return {}['no']\n"
        f"def build(card, *, babble, seed):\n    return Haystack({fields})\n"
    )
    (tmp_path / "mine.toml").write_text(f'name = "mine"\nbuilder = "{module}:build"\n')
    with pytest.raises(NiahError, match=reason):
        load_haystack(tmp_path / "mine.toml").sound(RATE)


def test_an_edited_builder_is_another_haystack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells of the sound before kept their numbers: the fingerprint is the user's, who need not change it."""
    fingerprints = []
    for number, text in enumerate(("", "", "# louder\n")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "own_edited.py").write_text(
            f"{text}from niah.haystacks import Haystack\ndef build(card, *, babble, seed):\n"
            "    return Haystack(card.name, 'noise', 'x', make_sound=lambda rate: None)\n"
        )
        (folder / "mine.toml").write_text('name = "mine"\nbuilder = "own_edited:build"\n')
        monkeypatch.delitem(sys.modules, "own_edited", raising=False)
        fingerprints.append(load_haystack(folder / "mine.toml").fingerprint)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


CONTENT = b"0123456789" * 50_000


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_offline_says_how_to_give_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    card = tmp_path / "remote.toml"
    card.write_text(
        'name = "remote"\nbuilder = "niah.haystacks:official_babble"\n'
        f'[source]\nurl = "http://127.0.0.1:9/x.wav"\nsha256 = "{sha256}"\n'
    )
    with pytest.raises(NiahError, match="--babble FILE"):
        load_haystack(card)
    card.write_text(card.read_text().replace("http://127.0.0.1:9", address))
    with pytest.raises(AudioError, match=r"x\.wav"):  # fetched, verified, and no sound
        load_haystack(card)
    assert len(list((tmp_path / "cache" / "haystacks").iterdir())) == 1


def test_a_card_fetches_to_the_cache_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """The attack that overwrote a file of the user's: `../` in the name, past a folder that is not there."""
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))
    victim = tmp_path / "home" / ".bashrc"
    victim.parent.mkdir()
    victim.write_text("precious\n")
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    card = tmp_path / "over.toml"
    for name in ("x/../../../home/.bashrc", str(victim), "../home/.bashrc"):
        card.write_text(
            'name = "nice"\nbuilder = "niah.haystacks:recording"\n[source]\n'
            f'file = "{name}"\nurl = "{address}/good"\nsha256 = "{sha256}"\n'
        )
        with pytest.raises(NiahError, match=r"over\.toml: key 'source\.file' is "):
            load_haystack(card)
    assert victim.read_text() == "precious\n"
    assert not (tmp_path / "cache").exists()


def test_a_recording_lies_below_its_cards_folder(tmp_path: Path) -> None:
    write_voices(tmp_path / "elsewhere", 1)
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "link.wav").symlink_to(tmp_path / "elsewhere" / "voice0.wav")
    (tmp_path / "card" / "folder").symlink_to(tmp_path / "elsewhere")
    card = tmp_path / "card" / "mine.toml"
    for name in ("link.wav", "folder/voice0.wav", "folder"):
        card.write_text(
            f'name = "mine"\nbuilder = "niah.haystacks:recording"\n[source]\nfile = "{name}"\n'
        )
        with pytest.raises(NiahError, match=r"leads out of .*; put the recording itself beside"):
            load_haystack(card)
