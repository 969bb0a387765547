"""Interrupted, killed or out of disk space: a run resumes as if nothing had happened."""

import errno
import json
import pickle
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import ROOT, runs, training
from helpers.evaluation import bits_per_char
from helpers.models import load_model
from helpers.storage import read_checkpoint, read_model
from helpers.text import Vocabulary
from tests.runs import (
    EPOCH,
    HELD_OUT,
    OVERFIT,
    STEPS,
    TRAIN,
    Killed,
    assert_same_run,
    assert_same_weights,
    assert_scores_its_best,
    bits_in_numpy,
    card_in,
    history_in,
    kill_at,
    not_called,
    read_entries,
    steps_in,
    stop_at,
    train,
    write_entries,
)


def copy_of(finished, folder):
    """Copy a finished run, so that a test may spoil it."""
    return shutil.copytree(finished[0], folder, dirs_exist_ok=True)


def damage(path, how):
    """Damage a file: what is left is no archive, or one with entries that make no sense."""
    whole, entries = path.read_bytes(), read_entries(path)
    card = {"no card": {}, "half a card": {"config.json": b'{"identity": '}}
    card |= {"a card of nothing": {"config.json": b"{}"}}
    if how in card:
        others = {name: data for name, data in entries.items() if name != "config.json"}
        write_entries(path, card[how] | others)
    elif how == "no arrays":
        write_entries(path, {"config.json": entries["config.json"]})
    elif how == "older format":
        np.savez(path, note=np.frombuffer(entries["config.json"], np.uint8))
    elif how == "one byte":  # in the middle of the largest array
        place = whole.index(max(entries.values(), key=len)) + 300
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    else:
        half = whole[: len(whole) // 2]
        content = {"empty": b"", "half": half, "text": b"hello", "pickle": pickle.dumps([1])}
        path.write_bytes(content[how])


# --- interrupted ---


@pytest.mark.parametrize(
    "stops",
    [(EPOCH + 1,), pytest.param((1, 7, 8, EPOCH, STEPS - 1, STEPS), marks=pytest.mark.slow)],
    ids=str,
)
def test_resumed_after_an_interrupt_equals_uninterrupted(tmp_path, whole, stops):
    for stop in stops:
        history, model = train(tmp_path, on_step=stop_at(stop))
        assert len(history.train_bits) == stop and not history.finished
        assert_same_weights(load_model(tmp_path)[0], model)
    resumed = train(tmp_path)
    assert resumed[0].finished
    assert_same_run(resumed, whole)


def test_a_resumed_run_drops_the_same_recurrent_weights(tmp_path, thinned):
    train(tmp_path, weight_dropout=0.3, on_step=stop_at(7))
    assert_same_run(train(tmp_path, weight_dropout=0.3), thinned)


def test_a_resumed_run_empties_the_same_states(tmp_path):
    whole = train(fresh_starts=0.5)
    train(tmp_path, fresh_starts=0.5, on_step=stop_at(7))
    assert_same_run(train(tmp_path, fresh_starts=0.5), whole)


def test_a_plain_network_is_trained_saved_and_resumed(tmp_path):
    plain = {"sizes": {"cell": "rnn"}, "weight_dropout": 0.3}
    whole = train(**plain)
    train(tmp_path, on_step=stop_at(7), **plain)
    with pytest.raises(ValueError, match="holds a run with cell 'rnn', not 'lstm'"):
        train(tmp_path, weight_dropout=0.3)
    history, model = train(tmp_path, **plain)
    assert_same_run((history, model), whole)
    assert_same_weights(load_model(tmp_path)[0], model)
    bits = bits_in_numpy(model, [*TRAIN, *HELD_OUT])[-len(HELD_OUT) :].mean()
    assert history.held_out_bits == pytest.approx(bits, abs=1e-4)


def test_an_interrupt_in_the_middle_of_a_step_waits_for_its_end(tmp_path, whole, monkeypatch):
    def make_train_step(*arguments):
        step, taken = usual(*arguments), []

        def with_stop_button(*batch):
            taken.append(step(*batch))
            if len(taken) == 6:
                signal.raise_signal(signal.SIGINT)
            return taken[-1]

        return with_stop_button

    usual, handler = training.make_train_step, signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(training, "make_train_step", make_train_step)
        history, _ = train(tmp_path)
    assert len(history.train_bits) == 6 and not history.finished
    assert signal.getsignal(signal.SIGINT) is handler
    assert_same_run(train(tmp_path), whole)


def test_an_interrupt_in_an_evaluation_loses_nothing(tmp_path, whole, monkeypatch):
    usual, calls = runs.generate, []

    def generate(*arguments, **options):
        calls.append(arguments)
        if len(calls) in (1, 3):
            raise KeyboardInterrupt
        return usual(*arguments, **options)

    monkeypatch.setattr(runs, "generate", generate)
    history, _ = train(tmp_path)
    assert (history.train_bits, history.evaluations) == ([], [])
    assert len(train(tmp_path)[0].evaluations) == 1
    assert_same_run(train(tmp_path), whole)


def test_an_interrupt_without_a_folder_leaves_a_usable_model(whole):
    history, model = train(on_step=stop_at(4))
    np.testing.assert_allclose(history.train_bits, whole[0].train_bits[:4], atol=1e-4)
    assert 0 < bits_per_char(model, HELD_OUT) < 10


def test_resumed_with_fewer_evaluations_is_scored_at_the_end(tmp_path):
    train(tmp_path, evaluations=20, on_step=stop_at(15))
    history, model = train(tmp_path, evaluations=2)
    assert history.evaluations[-1]["step"] == STEPS
    bits = bits_per_char(model, HELD_OUT, context=TRAIN)
    assert history.held_out_bits == pytest.approx(bits, abs=1e-5)


def test_a_minutes_budget_counts_what_was_spent_before(tmp_path, idle):
    history, _ = train(tmp_path, minutes=0.2, on_step=stop_at(5))
    assert history.seconds == 5
    idle.now += 1000  # between two sittings the time is not counted
    history, _ = train(tmp_path, minutes=0.2, on_step=stop_at(7))
    assert len(history.train_bits) == 7 == history.seconds
    history, _ = train(tmp_path, minutes=0.2)
    assert history.finished and len(history.train_bits) == 12 == history.seconds


# --- with the best evaluation ---


def test_interrupted_and_resumed_a_run_keeps_the_best_from_before(tmp_path, best):
    for stop in (8, 30):
        history, model = train(tmp_path, **OVERFIT, on_step=stop_at(stop))
        assert len(history.train_bits) == stop
    # Until the end, the last weights are the model.
    last = bits_per_char(model, HELD_OUT, context=TRAIN)
    assert last > history.best["held_out_bits"] + 0.05
    resumed = train(tmp_path, **OVERFIT)
    assert_scores_its_best(*resumed)
    assert_same_run(resumed, best[1:])


def test_killed_and_resumed_a_run_keeps_the_best_from_before(tmp_path, best):
    with pytest.raises(Killed):
        train(tmp_path, **OVERFIT, on_step=kill_at(30), checkpoint_seconds=0)
    assert steps_in(tmp_path) == 30
    resumed = train(tmp_path, **OVERFIT)
    assert_scores_its_best(*resumed)
    assert_same_run(resumed, best[1:])


@pytest.mark.parametrize("which", ["best", "last"])
def test_an_interrupt_between_an_evaluation_and_its_weights_waits(
    tmp_path, best, monkeypatch, which
):
    usual, evaluations, pressed = runs.History.best.fget, best[1].evaluations, []
    number = 1 + evaluations.index(best[1].best) if which == "best" else len(evaluations)

    def press_and_tell(history):
        if len(history.evaluations) == number and not pressed:
            pressed.append(number)
            signal.raise_signal(signal.SIGINT)
        return usual(history)

    monkeypatch.setattr(runs.History, "best", property(press_and_tell))
    history, _ = train(tmp_path, **OVERFIT)
    assert pressed and not history.finished and len(history.evaluations) == number
    resumed = train(tmp_path, **OVERFIT)
    assert_scores_its_best(*resumed)
    assert_same_run(resumed, best[1:])


# --- checkpoints ---


def test_a_checkpoint_is_as_old_as_asked_for_at_most(tmp_path, idle):
    kept = []

    def on_step(step):
        kept.append(steps_in(tmp_path) if (tmp_path / "checkpoint.npz").exists() else 0)

    train(tmp_path, checkpoint_seconds=5, on_step=on_step)
    # Each step takes a second: there is a checkpoint of 6, 12 and 18 steps.
    lost = np.arange(1, STEPS + 1) - kept
    assert lost.max() == 5 and sorted(set(kept)) == [0, 6, 12, 18]


def test_a_finished_run_is_loaded_and_not_trained_again(finished):
    folder, history, model = finished
    before = (folder / "checkpoint.npz").stat().st_mtime_ns
    again, fresh = train(folder, on_step=not_called)
    assert again == history and again.finished
    assert_same_weights(fresh, model)
    assert (folder / "checkpoint.npz").stat().st_mtime_ns == before


def test_a_finished_run_is_a_model_with_a_card(finished):
    folder, history, model = finished
    config, weights = read_model(folder)
    for one, other in zip(weights.values(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (config["characters"], config["steps_taken"]) == ("abcdefgh", STEPS)
    assert config["recipe"] == card_in(folder)["identity"] and config["recipe"]["batch_size"] == 2
    assert config["held_out_bits"] == round(history.held_out_bits, 4)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.npz", "model.npz"]


@pytest.mark.slow
def test_killed_between_model_and_checkpoint_a_run_is_not_called_finished(
    tmp_path, whole, monkeypatch
):
    def killed(*arguments, **card):
        raise Killed

    train(tmp_path, on_step=stop_at(9))
    before = (tmp_path / "checkpoint.npz").read_bytes()
    for victim in ("save_model", "write_checkpoint"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(runs, victim, killed)
            train(tmp_path)
        assert (tmp_path / "checkpoint.npz").read_bytes() == before
    assert not history_in(tmp_path).finished
    assert_same_weights(load_model(tmp_path)[0], whole[1])  # saved before the second kill
    resumed = train(tmp_path)
    assert_same_run(resumed, whole)
    assert_same_weights(load_model(tmp_path)[0], resumed[1])


def test_a_long_run_is_resumed(tmp_path, idle):
    train(tmp_path, steps=100_000, on_step=stop_at(3))
    path = tmp_path / "checkpoint.npz"
    entries = read_entries(path)
    card = json.loads(entries["config.json"])
    card["history"]["train_bits"] = list(np.random.default_rng(0).normal(2, 0.1, 99_998))
    write_entries(path, entries | {"config.json": json.dumps(card, indent=1)})
    history, _ = train(tmp_path, steps=100_000)
    assert history.finished and len(history.train_bits) == 100_000
    again, _ = train(tmp_path, steps=100_000, on_step=not_called)
    assert again == history


# --- another recipe, or a damaged file ---


@pytest.mark.parametrize(
    "name, change",
    [
        *((name, {name: 7}) for name in ("steps", "batch_size", "seq_len", "warmup_steps")),
        *((name, {name: 0.1}) for name in ("peak_rate", "weight_dropout", "fresh_starts")),
        ("minutes", {"minutes": 0.1}),
        ("clip_norm", {"clip_norm": None}),
        ("keep_best", {"keep_best": True}),
        *((name, {"sizes": {name: 9}}) for name in ("hidden_size", "embedding_size", "seed")),
        ("dropout", {"sizes": {"dropout": 0.0}}),
        ("start_from", {"card": {"start_from": "elsewhere"}}),
        ("train_text", {"ids": TRAIN[::-1]}),
        ("held_out_text", {"held_out": HELD_OUT[::-1]}),
        ("vocabulary", {"vocab": Vocabulary("abcdefgx")}),
        ("vocabulary", {"vocab": Vocabulary("abcdefghi")}),
    ],
)
def test_another_recipe_is_refused_with_what_differs(finished, name, change):
    path = finished[0] / "checkpoint.npz"
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"holds a run with .*\b{name} .*, not .*restart=True"):
        train(finished[0], **change)
    assert path.read_bytes() == before


def test_a_run_that_kept_its_best_is_not_resumed_without(best):
    with pytest.raises(ValueError, match=r"holds a run with keep_best True, not False\. Choose"):
        train(best[0], **OVERFIT | {"keep_best": False})


def test_a_checkpoint_that_knows_an_option_less_is_refused(finished, tmp_path):
    copy_of(finished, tmp_path)
    entries, card = read_entries(tmp_path / "checkpoint.npz"), card_in(tmp_path)
    assert card["identity"].pop("keep_best") is False
    write_entries(tmp_path / "checkpoint.npz", entries | {"config.json": json.dumps(card)})
    for keep_best in (False, True):
        with pytest.raises(ValueError, match=f"a run with keep_best None, not {keep_best}"):
            train(tmp_path, keep_best=keep_best)


@pytest.mark.parametrize(
    "how",
    [
        *("empty", "half", "text", "pickle", "one byte", "older format"),
        *("no card", "half a card", "a card of nothing", "no arrays"),
    ],
)
def test_a_damaged_checkpoint_is_refused(finished, tmp_path, how):
    path = copy_of(finished, tmp_path) / "checkpoint.npz"
    damage(path, how)
    before, what_to_do = path.read_bytes(), "Delete it, or train from the beginning"
    with pytest.raises(ValueError, match=rf"checkpoint\.npz is damaged \(.+\)\. {what_to_do}"):
        train(tmp_path)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_told_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError):
            train(folder, on_step=not_called)


# --- restarted ---


def test_restart_trains_from_the_beginning(tmp_path, whole, idle, monkeypatch):
    train(tmp_path, sizes={"seed": 5}, steps=4)
    monkeypatch.undo()  # real steps from now on
    assert_same_run(train(tmp_path, restart=True), whole)
    assert_same_run(train(tmp_path, on_step=not_called), whole)
    assert_same_weights(load_model(tmp_path)[0], whole[1])


def test_a_restart_killed_before_its_first_checkpoint_is_not_called_finished(
    finished, tmp_path, whole, idle, monkeypatch
):
    copy_of(finished, tmp_path)
    with pytest.raises(Killed):
        train(tmp_path, restart=True, on_step=kill_at(3))
    assert not (tmp_path / "checkpoint.npz").exists()
    monkeypatch.undo()  # real steps from now on
    taken = []
    assert_same_run(train(tmp_path, on_step=taken.append), whole)
    assert taken == list(range(1, STEPS + 1)) and history_in(tmp_path).finished


def test_a_damaged_checkpoint_does_not_hinder_a_restart(tmp_path, idle):
    (tmp_path / "checkpoint.npz").write_bytes(b"")
    assert train(tmp_path, steps=2, restart=True)[0].finished
    assert steps_in(tmp_path) == 2


@pytest.mark.parametrize(
    "change, message",
    [
        ({"ids": TRAIN[:16]}, "too short for 2 streams"),
        ({"epochs": 0.01}, "positive number of steps"),
        ({"steps": 0}, "positive number of steps"),
        ({"batch_size": 0}, "at least 1"),
        ({"held_out": TRAIN[:0]}, "nothing to score"),
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": "x"}, "'x' .* is not among"),
    ],
)
def test_a_restart_that_cannot_begin_spares_the_old_run(finished, tmp_path, change, message):
    copy_of(finished, tmp_path)
    with pytest.raises(ValueError, match=message):
        train(tmp_path, restart=True, **change)
    for name in ("checkpoint.npz", "model.npz"):
        assert (tmp_path / name).read_bytes() == (finished[0] / name).read_bytes()


# --- a full disk ---


@pytest.fixture(params=["no room for the model", "no room for the checkpoint", "small disk"])
def disk(request, tmp_path):
    """Hold a folder, with functions that fill the disk it is on and make room again."""
    if request.param == "small disk":
        yield from small_disk(tmp_path)
    else:
        yield from limited_files(tmp_path, with_model=request.param.endswith("checkpoint"))


def limited_files(folder, with_model):
    """Let no file of this process grow larger than a thousand bytes, or hardly than the model."""
    resource = pytest.importorskip("resource", reason="Windows does not limit the size of files")
    usual, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        size = (folder / "model.npz").stat().st_size * with_model + 1000
        assert size < (folder / "checkpoint.npz").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    def make_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (usual, hard))

    yield SimpleNamespace(folder=folder, fill=fill, make_room=make_room)
    make_room()


def small_disk(folder):
    """Mount a disk of 256 kilobytes, if this system and its owner let us."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")

    def fill():
        with pytest.raises(OSError), open(folder / "ballast", "wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))

    try:
        make_room = (folder / "ballast").unlink
        yield SimpleNamespace(folder=folder, fill=fill, make_room=make_room)
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_ends_the_run_and_spares_the_checkpoint(disk, idle):
    path = disk.folder / "checkpoint.npz"
    kept = []

    def on_step(step):
        if step == 7:
            kept.append(path.read_bytes())
            disk.fill()

    with pytest.raises(OSError, match="what was saved there before is intact") as failure:
        train(disk.folder, on_step=on_step, checkpoint_seconds=0)
    disk.make_room()
    assert failure.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert str(disk.folder) in str(failure.value) and "\n" not in str(failure.value)
    assert path.read_bytes() == kept[0] and steps_in(disk.folder) == 7
    assert not list(disk.folder.glob("*.part"))
    load_model(disk.folder)
    taken = []
    history, _ = train(disk.folder, on_step=taken.append)
    assert history.finished and taken == list(range(8, STEPS + 1))


# --- two runs in one folder ---


def test_two_runs_in_one_folder_leave_whole_files(tmp_path, idle):
    def run(steps):
        return train(tmp_path, steps=steps, restart=True, checkpoint_seconds=0)[0]

    with ThreadPoolExecutor() as pool:
        histories = list(pool.map(run, (20, 25)))
    assert [len(history.train_bits) for history in histories] == [20, 25]
    assert all(history.finished for history in histories)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.npz", "model.npz"]
    steps = card_in(tmp_path)["identity"]["steps"]
    assert steps in (20, 25) and train(tmp_path, steps=steps, on_step=not_called)[0].finished
    load_model(tmp_path)


# Two processes that save again and again, until they are told to stop. Whatever was read shows
# whether it belongs together: every number in it is that of the process.
WRITER = """
import sys
from pathlib import Path
import numpy as np
from helpers.storage import weight_shapes, write_checkpoint, write_model

folder, number = Path(sys.argv[1]), int(sys.argv[2])
config = {"characters": "abc" * (number == 1) or "de", "hidden_size": 9, "embedding_size": 4}
weights = [np.full(shape, number) for shape in weight_shapes(config).values()]
while not (folder.parent / "stop").exists():
    write_model(folder, config | {"number": number}, weights)
    groups = {"model": [np.full(3000 * number, number)], "state": [np.full(5, number)] * 2}
    write_checkpoint(folder, {"number": number}, {"train_bits": [number] * number}, groups)
"""


def read_both(folder):
    """Read model and checkpoint; return the numbers of those who wrote them."""
    config, weights = read_model(folder)
    model = config["number"]
    assert config["characters"] == {1: "abc", 2: "de"}[model]
    assert all((weight == model).all() for weight in weights.values())
    for number in (1, 2):
        shapes = {"model": [(3000 * number,)], "state": [(5,)] * 2}
        try:
            history, groups = read_checkpoint(folder, {"number": number}, shapes)
        except ValueError as problem:  # the other one's
            assert f"number {3 - number}, not {number}" in str(problem)
            continue
        assert history == {"train_bits": [number] * number}
        assert all((array == number).all() for group in groups.values() for array in group)
        return model, number
    return model, None  # replaced between the two attempts


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not replace a file that is read")
def test_two_processes_that_save_into_one_folder_leave_whole_files(tmp_path):
    folder, deadline = tmp_path / "run", time.monotonic() + 60
    start = [sys.executable, "-c", WRITER, folder]
    writers = [subprocess.Popen([*start, number], cwd=ROOT) for number in ("1", "2")]
    try:
        while not (folder / "checkpoint.npz").exists():
            assert time.monotonic() < deadline
        models, checkpoints = [], []
        while min(changes(models), changes(checkpoints)) < 10:
            assert time.monotonic() < deadline and all(each.poll() is None for each in writers)
            model, checkpoint = read_both(folder)
            models.append(model)
            checkpoints += [checkpoint] * (checkpoint is not None)
    finally:
        (tmp_path / "stop").touch()
        assert [writer.wait(60) for writer in writers] == [0, 0]
    read_both(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.npz", "model.npz"]


def changes(seen):
    """Return how often a value differs from the one before."""
    return sum(one != other for one, other in zip(seen, seen[1:], strict=False))
