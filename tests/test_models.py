"""Models: built, kept in a folder as plain data, and read again."""

import json
import math
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers import storage
from helpers.models import adapt, build_char_model, describe, load_model, save_model, zero_state
from helpers.sampling import CharLSTM
from helpers.storage import read_model, weight_shapes, write_atomically, write_model
from helpers.text import Vocabulary

ROOT = Path(__file__).resolve().parents[1]
VOCAB = Vocabulary('\n "abcé☾😀')
CONFIG = {"characters": "abc", "hidden_size": 2, "embedding_size": 3, "layers": 1, "dropout": 0.0}


def random_weights(config=CONFIG):
    return {
        name: np.random.default_rng(0).normal(size=shape)
        for name, shape in weight_shapes(config).items()
    }


@pytest.fixture
def folder(tmp_path):
    """Hold a small sound model."""
    write_model(tmp_path / "model", CONFIG, list(random_weights().values()))
    return tmp_path / "model"


def logits(model, tokens):
    return np.asarray(model([tokens, *zero_state(model, len(tokens))])[0])


# --- the model ---


@pytest.mark.parametrize(
    "vocab_size, hidden_size, embedding_size, layers",
    [(1, 1, 1, 1), (10, 8, 4, 1), (7, 5, 6, 2), (7, 5, 6, 3)],
)
def test_parameter_count(vocab_size, hidden_size, embedding_size, layers):
    model = build_char_model(vocab_size, hidden_size, embedding_size, layers)
    lstm = [
        4 * hidden_size * (width + hidden_size + 1)
        for width in [embedding_size] + [hidden_size] * (layers - 1)
    ]
    assert model.count_params() == vocab_size * embedding_size + sum(lstm) + vocab_size * (
        hidden_size + 1
    )
    config = {
        "characters": "x" * vocab_size,
        "hidden_size": hidden_size,
        "embedding_size": embedding_size,
        "layers": layers,
    }
    assert [w.shape for w in model.get_weights()] == list(weight_shapes(config).values())


def test_same_seed_same_weights():
    def weights(seed):
        return build_char_model(
            9, hidden_size=8, embedding_size=4, layers=2, seed=seed
        ).get_weights()

    first, again, other = weights(3), weights(3), weights(4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    drawn = [i for i, w in enumerate(first) if w.ndim == 2]  # biases start at 0 and 1
    assert len(drawn) == 6 and all(not np.array_equal(first[i], other[i]) for i in drawn)


def test_weights_of_a_model_are_not_alike():
    _, first, first_recurrent, _, second, second_recurrent, *_ = build_char_model(
        9, 8, embedding_size=8, layers=2
    ).get_weights()
    assert not np.allclose(first, second) and not np.allclose(first_recurrent, second_recurrent)


def test_embedding_starts_at_scale_one():
    assert build_char_model(100, hidden_size=2, embedding_size=50).get_weights()[
        0
    ].std() == pytest.approx(1, abs=0.05)


def test_loss_starts_at_the_logarithm_of_the_vocabulary():
    model = build_char_model(50, hidden_size=32, embedding_size=16)
    tokens = np.random.default_rng(0).integers(0, 50, (4, 40))
    values = logits(model, tokens)
    losses = (
        np.log(np.exp(values).sum(-1)) - np.take_along_axis(values, tokens[..., None], -1)[..., 0]
    )
    assert losses.mean() == pytest.approx(math.log(50), rel=0.05)


@pytest.mark.parametrize("layers", [1, 2])
def test_two_halves_with_the_state_carried_equal_the_whole(layers):
    model = build_char_model(9, hidden_size=8, embedding_size=4, layers=layers)
    tokens = np.random.default_rng(0).integers(0, 9, (3, 12))

    def read(tokens, state):
        return [np.asarray(output) for output in model([tokens, *state])]

    whole, *end = read(tokens, zero_state(model, 3))
    first, *middle = read(tokens[:, :5], zero_state(model, 3))
    second, *end_again = read(tokens[:, 5:], middle)
    assert len(end) == 2 * layers
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-5)
    np.testing.assert_allclose(end_again, end, atol=1e-5)
    assert abs(logits(model, tokens[:, 5:]) - second).max() > 1e-3  # the state matters


def test_dropout_is_for_training_only():
    model = build_char_model(9, hidden_size=8, layers=2, dropout=0.5)
    tokens = np.zeros((1, 5), "int32")
    assert np.array_equal(logits(model, tokens), logits(model, tokens))
    trained = model([tokens, *zero_state(model, 1)], training=True)[0]
    assert not np.allclose(trained, logits(model, tokens))


# --- another text ---


def rough_model(layers=1, **options):
    """Build a model of VOCAB whose weights are not small, so that its predictions differ much."""
    model = build_char_model(len(VOCAB), hidden_size=8, embedding_size=4, layers=layers, **options)
    model.set_weights(
        [np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(model.get_weights())]
    )
    return model


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("text", ["zabyé☾yz", "abc", ""])
def test_an_adapted_model_knows_all_it_knew_and_can_read_the_new(layers, text):
    model = rough_model(layers)
    weights, known = model.get_weights(), len(VOCAB)
    adapted, vocab = adapt(model, VOCAB, text)
    assert vocab.characters == VOCAB.characters + "".join(sorted(set(text) - set(VOCAB.characters)))
    assert vocab.decode(vocab.encode(text)) == text and adapted.output_shape[0][-1] == len(vocab)
    tokens = np.random.default_rng(0).integers(0, known, (3, 20))
    after, before = logits(adapted, tokens), logits(model, tokens)
    np.testing.assert_allclose(after[..., :known], before, atol=1e-5)
    np.testing.assert_allclose(after[..., known:], weights[-1].min(), atol=1e-5)
    grown = adapted.get_weights()
    for old, new in zip(weights, grown, strict=True):
        assert np.array_equal(new[tuple(map(slice, old.shape))], old)
    assert len(np.unique(grown[0], axis=0)) == len(vocab)  # no two characters read alike
    adapted.set_weights([0 * w for w in grown])
    left = model.get_weights()  # the original is left as it is
    assert all(np.array_equal(a, b) for a, b in zip(left, weights, strict=True))


def test_new_characters_begin_as_a_new_model_would_and_follow_the_seed():
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    rows = [
        adapt(rough_model(), VOCAB, text, seed=seed)[0].get_weights()[0][len(VOCAB) :]
        for seed in (0, 0, 1)
    ]
    assert rows[0].std() == pytest.approx(1, abs=0.1)
    assert np.array_equal(rows[0], rows[1]) and not np.array_equal(rows[0], rows[2])


@pytest.mark.parametrize("changes", [{}, {"dropout": 0.5}, {"dropout": 0, "seed": 9}], ids=str)
def test_an_adapted_model_is_as_the_old_one_but_for_the_changes(changes):
    model = rough_model(layers=2, dropout=0.25, seed=3)
    adapted, _ = adapt(model, VOCAB, "xyz", **changes)
    assert describe(adapted) == describe(model) | changes and describe(model)["dropout"] == 0.25
    for old, new in zip(model.get_weights()[1:-2], adapted.get_weights()[1:-2], strict=True):
        assert np.array_equal(old, new)


# --- there and back ---


@pytest.mark.parametrize("layers", [1, 2])
def test_save_and_load(tmp_path, layers):
    options = {"hidden_size": 8, "embedding_size": 4, "layers": layers, "dropout": 0.25, "seed": 7}
    model = build_char_model(len(VOCAB), **options)
    save_model(model, VOCAB, tmp_path, note="ünïcode ☾", held_out_bits=1.5)
    again, vocab = load_model(tmp_path)
    assert vocab == VOCAB
    assert describe(again) == describe(model) == options
    assert all(
        np.array_equal(a, b) for a, b in zip(again.get_weights(), model.get_weights(), strict=True)
    )
    card = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert (card["note"], card["held_out_bits"]) == ("ünïcode ☾", 1.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "weights.npz"]


def test_half_precision_halves_the_file_and_stays_close(tmp_path):
    model = build_char_model(len(VOCAB), hidden_size=64)
    save_model(model, VOCAB, tmp_path / "whole")
    save_model(model, VOCAB, tmp_path / "half", dtype="float16")
    sizes = [(tmp_path / name / "weights.npz").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    again, _ = load_model(tmp_path / "half")
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    tokens = np.arange(len(VOCAB))[None]
    np.testing.assert_allclose(logits(again, tokens), logits(model, tokens), atol=0.01)


def test_a_card_without_dropout_and_seed_will_do(folder):
    card = {key: CONFIG[key] for key in ("characters", "hidden_size", "embedding_size", "layers")}
    (folder / "config.json").write_text(json.dumps(card))
    assert describe(load_model(folder)[0])["dropout"] == 0


def test_saving_over_a_model_replaces_it(folder):
    other = {**CONFIG, "layers": 2}
    write_model(folder, other, list(random_weights(other).values()))
    config, weights = read_model(folder)
    assert config == other and len(weights) == 9


def test_the_number_of_weights_is_checked_before_anything_is_written(folder):
    before = (folder / "weights.npz").read_bytes()
    with pytest.raises(ValueError, match="shorter"):
        write_model(folder, CONFIG, list(random_weights().values())[:-1])
    assert (folder / "weights.npz").read_bytes() == before


def test_a_model_is_found_by_name(monkeypatch, folder):
    monkeypatch.setattr(storage, "MODELS", folder.parent)
    assert read_model("model")[0] == CONFIG


def test_a_missing_model_is_told_with_those_there_are(monkeypatch, folder):
    shutil.copytree(folder, folder.parent / "another")
    (folder.parent / "empty").mkdir()
    monkeypatch.setattr(storage, "MODELS", folder.parent)
    for name in ("nowhere", "empty", str(folder.parent / "empty"), ""):
        with pytest.raises(FileNotFoundError, match=r"no model in .*\['another', 'model'\]"):
            read_model(name)
    (folder / "weights.npz").unlink()
    with pytest.raises(FileNotFoundError, match="takes a config.json and a weights.npz"):
        load_model(folder)


# --- damage ---


def resave(folder, **changes):
    weights = {
        name: value for name, value in (random_weights() | changes).items() if value is not None
    }
    np.savez(folder / "weights.npz", **weights)


@pytest.mark.parametrize("keep", [0, 1, 4, 100, 500, 1500, -1])
def test_truncated_weights_are_refused(folder, keep):
    whole = (folder / "weights.npz").read_bytes()
    assert len(whole) > 1500
    (folder / "weights.npz").write_bytes(whole[:keep])
    with pytest.raises(ValueError, match="is damaged"):
        read_model(folder)


def test_flipped_bytes_are_refused_or_harmless(folder):
    whole, rng = (folder / "weights.npz").read_bytes(), np.random.default_rng(0)
    intact, refused = read_model(folder)[1], 0
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        (folder / "weights.npz").write_bytes(damaged)
        try:
            weights = read_model(folder)[1]
        except ValueError:  # and no other error
            refused += 1
        else:
            assert all(np.array_equal(weights[name], intact[name]) for name in intact)
    assert refused > 200


@pytest.mark.parametrize(
    "content", [b"<!doctype html>", b"\x93NUMPY\x01\x00", pickle.dumps([1]), b"\x00" * 1000]
)
def test_what_is_not_a_zip_is_refused(folder, content):
    (folder / "weights.npz").write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        read_model(folder)


def test_a_lone_array_is_refused(folder):
    with open(folder / "weights.npz", "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match="is damaged"):
        read_model(folder)


@pytest.mark.parametrize(
    "changes",
    [{"dense.bias": None}, {"lstm_1.bias": np.zeros(8)}, {"dense.bias": np.array(["a", "b", "c"])}],
    ids=["missing", "too many", "text"],
)
def test_other_arrays_are_refused(folder, changes):
    resave(folder, **changes)
    with pytest.raises(ValueError, match="is damaged"):
        read_model(folder)


@pytest.mark.parametrize(
    "value",
    [np.zeros(4), np.zeros((1, 3)), np.array([0, np.nan, 0]), np.array([0, 0, np.inf])],
    ids=str,
)
def test_wrong_shapes_and_numbers_are_refused(folder, value):
    resave(folder)
    read_model(folder)
    resave(folder, **{"dense.bias": value})
    with pytest.raises(ValueError, match=r"dense.bias should hold finite numbers of shape \(3,\)"):
        read_model(folder)


class Trap:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_objects_are_refused_and_never_run(folder):
    trace = folder / "trace"
    for name, write in {
        "array": lambda: np.savez(
            folder / "weights.npz",
            **random_weights() | {"dense.bias": np.array([Trap(trace)] * 3, object)},
        ),
        "file": lambda: (folder / "weights.npz").write_bytes(pickle.dumps(Trap(trace))),
    }.items():
        write()
        with pytest.raises(ValueError, match="is damaged"):
            read_model(folder)
        assert not trace.exists(), name
    pickle.loads(pickle.dumps(Trap(trace)))
    assert trace.exists()  # the trap works


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"characters": 3}', "\udcff"],
    ids=ascii,
)
def test_a_damaged_card_is_refused(folder, text):
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match="is damaged"):
        read_model(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 3},
        {"embedding_size": 4},
        {"layers": 2},
        {"layers": 0},
        {"layers": "1"},
        {"characters": "ab"},
        {"hidden_size": None},
    ],
    ids=str,
)
def test_a_card_that_does_not_fit_the_weights_is_refused(folder, changes):
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    for read in (read_model, load_model, CharLSTM.load):
        with pytest.raises(ValueError, match="is damaged|does not fit its config.json"):
            read(folder)


def test_a_vocabulary_with_a_character_twice_is_refused(folder):
    (folder / "config.json").write_text(json.dumps(CONFIG | {"characters": "aab"}))
    with pytest.raises(ValueError, match="once"):
        load_model(folder)


# --- writing in one step ---


def test_a_writer_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "deep" / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"new, but")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


def test_nothing_is_in_place_before_the_writer_is_done(tmp_path):
    write_atomically(
        tmp_path / "file",
        lambda file: (
            file.write(b"x" * 100_000) and (tmp_path / "file").exists() and pytest.fail("too early")
        ),
    )
    assert (tmp_path / "file").stat().st_size == 100_000


def test_killed_while_writing_leaves_a_whole_file(tmp_path):
    code = (
        "import sys, itertools, numpy as np; from helpers.storage import write_atomically\n"
        "for n in itertools.count():\n"
        "    write_atomically(sys.argv[1], lambda file: np.savez(file, a=np.full(200_000, n), b=np.full(200_000, n)))\n"
        "    print(n, flush=True)\n"
    )
    for kill in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "file.npz")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        ) as writer:
            for _ in range(3 + kill):
                last = int(writer.stdout.readline())
            try:
                writer.wait(0.0007 * kill)
            except subprocess.TimeoutExpired:
                writer.kill()
        with np.load(tmp_path / "file.npz") as file:
            numbers = set(file["a"]) | set(file["b"])
        assert len(numbers) == 1 and numbers.pop() >= last


# --- import ---


def test_what_needs_no_tensorflow_is_imported_fast_and_without_it():
    code = (
        "import sys, time; start = time.perf_counter()\n"
        "import helpers.text, helpers.cells, helpers.sampling, helpers.storage\n"
        "print(time.perf_counter() - start, sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for _ in range(3)
    ]
    seconds, modules = zip(*(run.stdout.split(maxsplit=1) for run in runs), strict=True)
    assert set(modules) == {"[]\n"}
    assert min(map(float, seconds)) < 1
