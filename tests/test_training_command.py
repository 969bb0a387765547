"""`python -m helpers.training`: its options, what it prints, and what it says when it fails."""

import inspect
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from dataclasses import fields

import numpy as np
import pytest

from helpers import ROOT, training
from helpers.corpora import load_corpus, split_tail
from helpers.evaluation import bits_per_char
from helpers.models import build_char_model, describe, load_model, save_model
from helpers.runs import History, Recipe
from helpers.storage import read_model, sha256
from helpers.text import Vocabulary
from helpers.training import LONG_RUN, fit
from tests.runs import assert_same_run, history_in, steps_in, train

TEXT = "".join(np.random.default_rng(5).choice(["the ", "cat ", "sat ", "on ", "a ", "mat\n"], 600))
LAST_LINE = re.compile(r"bits per character on (?:held-out|validation) text: (\d\.\d{3})")
SIZES = {"hidden_size": 8, "embedding_size": 4}
# Another value for every option of a recipe but the budget.
OTHER = {
    "batch_size": 3,
    "seq_len": 7,
    "peak_rate": 0.02,
    "warmup_steps": 6,
    "beta_1": 0.8,
    "beta_2": 0.97,
    "clip_norm": 0.5,
    "weight_dropout": 0.1,
    "fresh_starts": 0.2,
    "keep_best": True,
}


def words(**options):
    """Return options as words of a command line; without those that are None."""
    given = {key: value for key, value in options.items() if value is not None}
    pairs = ((f"--{key.replace('_', '-')}", value) for key, value in given.items())
    return [word for flag, value in pairs for word in ([flag] if value is True else [flag, value])]


@pytest.fixture
def command(tmp_path):
    """Return a function that makes the arguments of a tiny run on a text of one's own."""
    (tmp_path / "own.txt").write_text(TEXT, encoding="utf-8")

    def arguments(folder, **options):
        usual = {"corpus": tmp_path / "own.txt", "out": tmp_path / folder} | SIZES
        usual |= {"batch_size": 2, "seq_len": 8, "evaluations": 2, "steps": 20}
        return [str(word) for word in words(**usual | options)]

    return arguments


# --- options ---


@pytest.fixture
def given(monkeypatch):
    """Catch what the command gives to `fit`, by name, instead of training."""
    caught = {}

    def caught_fit(*arguments, **options):
        bound = inspect.signature(fit).bind(*arguments, **options)
        caught.clear()
        caught.update(bound.arguments)
        return History(evaluations=[{"step": 0, "held_out_bits": 1.0}], finished=True)

    monkeypatch.setattr(training, "fit", caught_fit)
    return caught


@pytest.mark.parametrize("budget", [{"steps": 9}, {"epochs": 0.5}, {"minutes": 1.5}], ids=str)
def test_every_option_reaches_the_recipe(command, given, budget):
    assert {option.name for option in fields(Recipe)} == {"steps", "epochs", "minutes", *OTHER}
    options = {"steps": None} | budget | OTHER
    assert training.main(command("run", **options)) == 0
    assert given["recipe"] == Recipe(**budget, **OTHER)
    for name, value in OTHER.items():
        assert getattr(given["recipe"], name) == value != getattr(Recipe(steps=9), name)


def test_defaults_are_those_of_the_recipe_but_for_a_long_run(tmp_path, command, given):
    command("run")  # writes the text
    arguments = words(corpus=str(tmp_path / "own.txt"), out=str(tmp_path / "run"), steps="9")
    assert training.main(arguments) == 0
    names = {option.name for option in fields(Recipe)}
    of_recipe = {name: value for name, value in LONG_RUN.items() if name in names}
    assert given["recipe"] == Recipe(steps=9, **of_recipe)
    of_model = {name: value for name, value in LONG_RUN.items() if name not in names}
    usual = inspect.signature(build_char_model).parameters
    usual = {name: usual[name].default for name in ("embedding_size", "seed", "fast", "cell")}
    assert describe(given["model"]) == usual | of_model
    usual = inspect.signature(fit).parameters
    for name in ("evaluations", "checkpoint_seconds", "restart"):
        assert given[name] == usual[name].default
    assert training._parser().get_default("keep_best") is False


def test_the_other_options_reach_the_run(command, given, tmp_path):
    more = {"dropout": 0.25, "seed": 3, "fast": True}
    options = more | {"checkpoint_seconds": 7.5, "restart": True}
    assert training.main(command("run", **options)) == 0
    assert describe(given["model"]) == SIZES | more | {"cell": "lstm"}
    expected = {"evaluations": 2, "checkpoint_seconds": 7.5, "restart": True}
    assert {name: given[name] for name in expected} == expected
    assert str(given["folder"]) == str(tmp_path / "run")
    text, held_out = split_tail(load_corpus(tmp_path / "own.txt"))
    assert given["vocab"].decode(given["train_ids"]) == text
    assert given["vocab"].decode(given["held_out_ids"]) == held_out
    assert held_out.startswith(given["prompt"]) and given["prompt"]
    about = {"corpus": str(tmp_path / "own.txt"), "text_sha256": sha256(TEXT)}
    about |= {"start_from": None, "judge": "held-out"}
    assert given["card"] == about


def test_the_cell_is_chosen_or_that_of_the_model_to_start_from(command, given, tmp_path):
    assert training.main(command("run", cell="rnn")) == 0
    assert describe(given["model"])["cell"] == "rnn"
    save_model(given["model"], given["vocab"], tmp_path / "first")
    start = {"start_from": tmp_path / "first"} | dict.fromkeys(SIZES)
    assert training.main(command("second", **start)) == 0
    assert describe(given["model"])["cell"] == "rnn"
    with pytest.raises(ValueError, match="brings its own cell: leave it out"):
        training.main(command("third", cell="rnn", **start))


def test_a_model_to_start_from_can_be_given_more_units(command, given, tmp_path):
    assert training.main(command("run")) == 0
    narrow = given["model"].get_weights()
    save_model(given["model"], given["vocab"], tmp_path / "first")
    start = {"start_from": tmp_path / "first", "embedding_size": None}
    assert training.main(command("second", hidden_size=11, **start)) == 0
    assert describe(given["model"])["hidden_size"] == 11
    assert np.array_equal(given["model"].get_weights()[-2][: len(narrow[-2])], narrow[-2])
    with pytest.raises(ValueError, match="none can be taken away"):
        training.main(command("third", hidden_size=7, **start))


@pytest.mark.parametrize("budget", [{"epochs": 1}, {"minutes": 0.1}], ids=str)
def test_the_other_budgets(command, capsys, idle, budget):
    assert training.main(command("run", steps=None, **budget)) == 0
    assert LAST_LINE.fullmatch(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("start", [False, True], ids=["anew", "from a model"])
def test_to_validate_the_held_out_text_is_left_alone_but_for_its_letters(
    command, given, tmp_path, monkeypatch, start
):
    train, held_out = "ab" * 95 + "cd" * 5, "xyz"
    monkeypatch.setattr(training, "load_split", lambda name: (train, held_out))
    save_model(build_char_model(1, hidden_size=8), Vocabulary("x"), tmp_path / "first")
    from_model = {"start_from": tmp_path / "first"} | dict.fromkeys(SIZES) if start else {}
    seen = {}
    for validate in (False, True):
        assert training.main(command("run", validate=validate or None, **from_model)) == 0
        vocab = given["vocab"]
        seen[validate] = [vocab.decode(given[name]) for name in ("train_ids", "held_out_ids")]
        assert set(vocab.characters) == set("abcdxyz")
        assert given["model"].output_shape[0][-1] == 7
        assert given["prompt"] == seen[validate][1][:20]
        assert given["card"]["text_sha256"] == sha256("".join(seen[validate]))
    assert seen == {False: [train, held_out], True: [train[:180], train[180:]]}


def test_a_mean_that_never_moves_is_refused(command, given):
    for name in ("beta_1", "beta_2"):
        with pytest.raises(ValueError, match=f"{name} should be from 0 to less than 1, not 1.0"):
            training.main(command("run", **{name: 1}))
    assert given == {}


def test_what_adam_keeps_reaches_the_optimizer(command, monkeypatch):
    optimizers = []

    def make_train_step(model, optimizer, weight_dropout):
        optimizers.append(optimizer)
        return lambda inputs, targets, state: (1.0, *state)

    monkeypatch.setattr(training, "make_train_step", make_train_step)
    for folder, options in {"usual": {}, "other": {"beta_1": 0.75, "beta_2": 0.5}}.items():
        assert training.main(command(folder, steps=1, evaluations=0, **options)) == 0
    kept = [(float(each.beta_1), float(each.beta_2)) for each in optimizers]
    assert kept == [(0.9, 0.999), (0.75, 0.5)]


# --- runs ---


def test_the_command_trains_and_prints_the_score(command, tmp_path, capsys):
    assert training.main(command("run")) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    bits = float(LAST_LINE.fullmatch(last)[1])
    model, vocab = load_model(tmp_path / "run")
    text, held_out = map(vocab.encode, split_tail(load_corpus(tmp_path / "own.txt")))
    assert bits == pytest.approx(bits_per_char(model, held_out, context=text), abs=6e-4)
    assert training.main(command("run")) == 0
    out = capsys.readouterr().out
    assert "The run in run is finished, after 20 steps." in out and out.splitlines()[-1] == last
    assert training.main(command("run", seed=1, restart=True)) == 0
    assert capsys.readouterr().out.splitlines()[-1] != last
    config, _ = read_model(tmp_path / "run")
    assert config["seed"] == 1 and config["corpus"].endswith("own.txt")


@pytest.mark.slow
def test_the_command_starts_from_a_model_that_lacks_characters_of_the_text(
    command, tmp_path, capsys
):
    training.main(command("first", steps=150, peak_rate=0.05, dropout=0.25))
    score, first = LAST_LINE.search(capsys.readouterr().out)[1], tmp_path / "first"
    before = (first / "model.npz").read_bytes()
    model_has = {"hidden_size": None, "embedding_size": None}
    training.main(command("same", start_from=first, steps=1, **model_has))
    assert f"step     0  held-out {score} bits/char" in capsys.readouterr().out

    (tmp_path / "new.txt").write_text(TEXT.replace("cat", "żółw"), encoding="utf-8")
    options = {"start_from": first, "corpus": tmp_path / "new.txt"} | model_has
    options |= {"dropout": 0.0, "weight_dropout": 0.125}
    assert training.main(command("second", **options)) == 0
    (config, _), (second, weights) = read_model(first), read_model(tmp_path / "second")
    assert second["characters"] == config["characters"] + "wółż"
    assert len(weights["dense.bias"]) == len(second["characters"])
    assert (second["start_from"], second["recipe"]["start_from"]) == (str(first),) * 2
    assert [second[key] for key in ("hidden_size", "embedding_size", "dropout")] == [8, 4, 0]
    assert [each["recipe"]["weight_dropout"] for each in (config, second)] == [0, 0.125]
    assert (first / "model.npz").read_bytes() == before

    said = capsys.readouterr().out.splitlines()[-1]
    assert training.main(command("second", **options)) == 0  # resumed
    assert capsys.readouterr().out.splitlines()[-1] == said
    shutil.copytree(first, tmp_path / "third")
    with pytest.raises(ValueError, match="holds a run with start_from .*first', not .*third'"):
        training.main(command("second", **options | {"start_from": tmp_path / "third"}))


def test_without_evaluations_there_is_one_at_the_end(command, tmp_path, capsys, idle):
    assert training.main(command("run", evaluations=0)) == 0
    out = capsys.readouterr().out
    assert [each["step"] for each in history_in(tmp_path / "run").evaluations] == [20]
    assert re.findall(r"step +(\d+)  held-out", out) == ["20"]
    assert LAST_LINE.fullmatch(out.splitlines()[-1])


def test_a_fast_run_is_saved_as_a_model_like_any_other(command, tmp_path, capsys):
    assert training.main(command("run", fast=True, steps=5)) == 0
    bits = float(LAST_LINE.fullmatch(capsys.readouterr().out.splitlines()[-1])[1])
    model, vocab = load_model(tmp_path / "run")
    assert describe(model)["fast"] is False and read_model(tmp_path / "run")[0]["fast"] is True
    text, held_out = map(vocab.encode, split_tail(load_corpus(tmp_path / "own.txt")))
    assert bits == pytest.approx(bits_per_char(model, held_out, context=text), abs=0.02)


def test_the_command_keeps_the_best(command, tmp_path, capsys):
    arguments = command("run", steps=200, peak_rate=0.1, dropout=0.0, evaluations=6, keep_best=True)
    text = "".join(np.random.default_rng(0).choice(list("abcdefgh"), 300))
    (tmp_path / "own.txt").write_text(text)
    assert training.main(arguments) == 0
    out = capsys.readouterr().out
    scores = [float(bits) for bits in re.findall(r"held-out (\d+\.\d{3}) bits/char", out)]
    assert float(LAST_LINE.fullmatch(out.splitlines()[-1])[1]) == min(scores) < scores[-1]
    model, vocab = load_model(tmp_path / "run")
    text, held_out = map(vocab.encode, split_tail(load_corpus(tmp_path / "own.txt")))
    assert bits_per_char(model, held_out, context=text) == pytest.approx(min(scores), abs=6e-4)


# --- what it prints ---


def test_to_a_file_or_a_pipe_it_prints_a_line_now_and_then(command, capsys, idle):
    # Each step takes a second: after more than thirty without a line there is one.
    assert training.main(command("run", steps=100, evaluations=1)) == 0
    out = capsys.readouterr().out
    assert "\r" not in out
    first, *lines, evaluation, last = out.splitlines()
    assert re.fullmatch(r"step     0  held-out \d\.\d{3} bits/char  .+", first)
    assert lines == [f"{step} of 100 steps  1.000 bits/char" for step in (31, 62, 93)]
    assert re.fullmatch(r"step   100  held-out \d\.\d{3} bits/char  .+", evaluation)
    assert LAST_LINE.fullmatch(last)
    assert training.main(command("timed", steps=None, minutes=1, evaluations=1)) == 0
    lines = capsys.readouterr().out.splitlines()[1:-2]
    assert lines == ["31 of 60 s  1.000 bits/char"]


def test_to_a_terminal_it_draws_a_bar(command, capsys, idle, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert training.main(command("run", steps=3)) == 0
    out = capsys.readouterr().out
    assert re.search(r"\r.*3/3 .*bits/char", out)
    assert re.search(r"step     3  held-out \d\.\d{3} bits/char  .+\n", out)


def test_a_line_can_be_read_at_once(tmp_path, idle):
    log, logged = tmp_path / "log", []
    with open(log, "w") as file, redirect_stdout(file):
        train(steps=1, progress_bar="lines", on_step=lambda step: logged.append(log.read_text()))
    assert re.match(r"step     0  held-out \d\.\d{3} bits/char", logged[0])


# --- killed and interrupted ---


def wait_for(process, condition):
    """Wait until something is so, which the process brings about."""
    while not condition():
        assert process.poll() is None, "ended before it could be stopped"
        time.sleep(0.01)


def at_least(folder, steps):
    """Return a function that tells whether the checkpoint has seen so many steps."""
    return lambda: (folder / "checkpoint.npz").exists() and steps_in(folder) >= steps


@pytest.mark.slow
def test_killed_and_interrupted_the_command_resumes_as_if_nothing_had_happened(
    command, tmp_path, capfd
):
    options, folder = {"steps": 1500, "dropout": 0.3}, tmp_path / "broken"
    assert training.main(command("whole", **options)) == 0
    shutil.copytree(tmp_path / "whole", folder)
    start = [sys.executable, "-m", "helpers.training", *command("broken", **options)]
    start += ["--checkpoint-seconds", "0"]
    with subprocess.Popen([*start, "--restart"], cwd=ROOT, stdout=subprocess.DEVNULL) as killed:
        # A kill at this moment would leave no checkpoint, and nothing that is called finished.
        wait_for(killed, lambda: not (folder / "checkpoint.npz").exists())
        wait_for(killed, at_least(folder, 5))
        killed.kill()
    kept = steps_in(folder)
    assert 5 <= kept < 1500
    with subprocess.Popen(start, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8") as interrupted:
        wait_for(interrupted, at_least(folder, kept + 5))
        interrupted.send_signal(signal.SIGINT)
        out = interrupted.communicate()[0]
    assert interrupted.returncode == 130
    assert f"The run in broken continues, after {kept} steps." in out and "\r" not in out
    assert f"Stopped after {steps_in(folder)} steps: the model is usable." in out
    captured = capfd.readouterr()
    assert captured.err == ""  # neither a traceback nor TensorFlow's greeting
    load_model(folder)
    assert steps_in(folder) < 1500
    assert training.main(command("broken", **options)) == 0
    scores = LAST_LINE.findall(captured.out + capfd.readouterr().out)
    assert len(scores) == 2 and len(set(scores)) == 1
    runs = [(history_in(each), load_model(each)[0]) for each in (folder, tmp_path / "whole")]
    assert_same_run(*runs)


# --- what is wrong ---


@pytest.mark.parametrize(
    "change, message",
    [
        ({"corpus": "nowhere.txt"}, "There is no text file"),
        ({"corpus": "binary.bin"}, "is not plain text"),
        ({"corpus": "empty.txt"}, "is empty"),
        ({"corpus": "ten.txt"}, "9 characters is too short for 2 streams of 8"),
        ({"out": "own.txt"}, "File exists"),
        ({"start_from": "nowhere"} | dict.fromkeys(SIZES), "no model in 'nowhere'"),
        ({"start_from": "nowhere"}, "brings its own embedding_size"),
        ({"start_from": "nowhere", "embedding_size": None, "cell": "rnn"}, "brings its own cell"),
        ({"start_from": "nowhere", "cell": "rnn"}, "its own embedding_size and cell: leave it out"),
        ({"steps": None}, "exactly one budget"),
        ({"epochs": 2}, "exactly one budget"),
        ({"minutes": 2}, "exactly one budget"),
        ({"steps": -5}, "positive number"),
        ({"out": "torn"}, r"checkpoint\.npz is damaged"),
        ({"batch_size": 0}, "at least 1"),
        ({"beta_2": 1}, "beta_2 should be from 0 to less than 1"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_the_command_says_in_a_line_what_is_wrong(
    command, tmp_path, monkeypatch, capsys, change, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary.bin").write_bytes(bytes(range(256)))
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "ten.txt").write_text("abcdefghij")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "checkpoint.npz").write_bytes(b"PK")
    monkeypatch.setattr(sys, "argv", ["training", *command("run", **change)])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("helpers.training", run_name="__main__")
    # Python prints it and exits with 1.
    assert re.fullmatch(f"helpers.training: .*{message}.*", end.value.code)
    assert "bits per character on held-out" not in capsys.readouterr().out
    assert not (tmp_path / "run" / "checkpoint.npz").exists()


@pytest.mark.slow
def test_the_command_fails_with_a_line_and_a_code(tmp_path):
    arguments = words(corpus="nowhere.txt", out=tmp_path / "run", steps="1")
    start = [sys.executable, "-m", "helpers.training", *arguments]
    run = subprocess.run(start, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    assert re.fullmatch(r"helpers.training: There is no text file .*nowhere.txt\n", run.stderr)
    assert not (tmp_path / "run").exists()
