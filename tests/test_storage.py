"""Files of models: replaced whole or not at all, written and read again."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from helpers import ROOT, storage
from helpers.sampling import CharLSTM
from helpers.storage import read_model, replacing, sha256, write_archive, write_model

# --- replacing a file in one step ---


def test_a_writer_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "deep" / "file"
    with replacing(path) as temporary:
        temporary.write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"), replacing(path) as temporary:
        temporary.write_bytes(b"new, but")
        raise OSError("disk full")
    assert path.read_bytes() == b"old" and list(path.parent.iterdir()) == [path]
    with replacing(str(path)) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


def test_nothing_is_in_place_before_the_writer_is_done(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as temporary:
        temporary.write_bytes(b"x" * 100_000)
        assert not path.exists()
    assert path.stat().st_size == 100_000


def test_a_writer_that_writes_nothing_is_an_error_and_leaves_the_old_file(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_bytes() == b"old"


def test_threads_do_not_share_a_temporary_file(tmp_path):
    names, both = set(), threading.Barrier(2)

    def write(content):
        with replacing(tmp_path / "file") as temporary:
            names.add(temporary)
            temporary.write_bytes(content)
            both.wait(10)
            assert temporary.read_bytes() == content

    threads = [threading.Thread(target=write, args=(content,)) for content in (b"one", b"two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 2 and (tmp_path / "file").read_bytes() in (b"one", b"two")
    assert os.listdir(tmp_path) == ["file"]


def test_leftovers_are_removed_after_a_minute(small_model):
    old, fresh = (small_model.folder / f"model.npz.{pid}-1.part" for pid in (1, 2))
    for leftover, age in ((old, 65), (fresh, 50)):
        leftover.write_bytes(b"half a mod")
        os.utime(leftover, times=(time.time() - age,) * 2)
    write_model(small_model.folder, small_model.config, list(small_model.weights().values()))
    assert not old.exists() and fresh.exists()
    assert {path.name for path in small_model.folder.iterdir()} == {"model.npz", fresh.name}


def test_digest():
    assert sha256("é") == sha256("é".encode()) == (
        "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"
    )  # fmt: skip


# --- write, and read again ---


def test_a_model_is_one_file_of_a_card_and_plain_arrays(small_model):
    assert [path.name for path in small_model.folder.iterdir()] == ["model.npz"]
    names = ["embedding", "lstm.kernel", "lstm.recurrent_kernel", "lstm.bias"]
    names += ["dense.kernel", "dense.bias"]
    with zipfile.ZipFile(small_model.path) as archive:
        assert archive.namelist() == ["config.json", *(f"{name}.npy" for name in names)]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(archive.read("config.json")) == small_model.config
    config, weights = read_model(small_model.folder)
    assert config == small_model.config and list(weights) == names
    with np.load(small_model.path) as file:
        for name, value in small_model.weights().items():
            assert np.array_equal(file[name], value.astype(np.float32))
            assert np.array_equal(weights[name], file[name])
            assert weights[name].dtype == np.float32


def test_numpy_can_write_a_model_too(small_model):
    before = read_model(small_model.folder)[1]
    np.savez(small_model.path, **before)
    with zipfile.ZipFile(small_model.path, "a") as archive:
        archive.writestr("config.json", json.dumps(small_model.config))
    config, weights = read_model(small_model.folder)
    assert config == small_model.config
    assert all(np.array_equal(weights[name], before[name]) for name in before)


def test_the_same_model_gives_the_same_bytes(small_model, monkeypatch):
    before = small_model.path.read_bytes()
    tomorrow = time.time() + 86_400
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    write_model(small_model.folder, small_model.config, list(small_model.weights().values()))
    assert small_model.path.read_bytes() == before


def test_saving_over_a_model_replaces_it(small_model):
    other = small_model.config | {"characters": "☾b\n", "hidden_size": 3, "note": "ünïcode"}
    write_model(small_model.folder, other, list(small_model.weights(other).values()))
    config, weights = read_model(small_model.folder)
    assert config == other and weights["lstm.bias"].shape == (12,)


def test_a_plain_network_is_written_and_read(small_model):
    plain = small_model.config | {"cell": "rnn"}
    write_model(small_model.folder, plain, list(small_model.weights(plain).values()))
    config, weights = read_model(small_model.folder)
    shapes = {name: weights[name].shape for name in list(weights)[1:4]}
    assert config == plain
    assert shapes == {"rnn.kernel": (3, 2), "rnn.recurrent_kernel": (2, 2), "rnn.bias": (2,)}


def test_weights_are_checked_before_anything_is_written(small_model):
    before, weights = small_model.path.read_bytes(), list(small_model.weights().values())
    for wrong, message in [
        (weights[:-1], "shorter"),
        ([*weights, np.zeros(3)], "longer"),
        ([*weights[:-1], np.zeros(4)], r"dense.bias should have shape \(3,\), not \(4,\)"),
        ([weights[0], weights[1].T, *weights[2:]], r"lstm.kernel .* \(3, 8\), not \(8, 3\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            write_model(small_model.folder, small_model.config, wrong)
    assert small_model.path.read_bytes() == before
    assert os.listdir(small_model.folder) == ["model.npz"]


def test_a_card_that_json_cannot_hold_leaves_the_old_model(small_model):
    before = small_model.path.read_bytes()
    with pytest.raises(TypeError, match="JSON"):
        write_archive(small_model.path, {"note": object()}, {})
    assert small_model.path.read_bytes() == before
    assert os.listdir(small_model.folder) == ["model.npz"]


def test_a_model_is_found_by_name(monkeypatch, small_model):
    monkeypatch.setattr(storage, "MODELS", small_model.folder.parent)
    assert read_model("model")[0] == small_model.config


def test_a_missing_model_is_told_with_those_there_are(monkeypatch, small_model):
    models = small_model.folder.parent
    shutil.copytree(small_model.folder, models / "another")
    (models / "empty").mkdir()
    monkeypatch.setattr(storage, "MODELS", models)
    for name in ("nowhere", "empty", str(models / "empty"), ""):
        with pytest.raises(FileNotFoundError, match=r"no model in .*: another, model\."):
            read_model(name)
    small_model.path.unlink()
    for read in (read_model, CharLSTM.load):
        with pytest.raises(FileNotFoundError, match=r"should hold a file model\.npz.*: another\."):
            read(small_model.folder)


# --- whatever happens meanwhile ---

# Two models that differ in everything. The number of a save is in its card and in every weight, so
# whatever was read shows whether it belongs together.
MODELS = """
import numpy as np
from helpers.storage import read_model, weight_shapes, write_model

def write(folder, number):
    characters, size = (("abc", 2), ("wxyz☾", 50))[number % 2]
    config = {"characters": characters, "hidden_size": size, "embedding_size": size + 1}
    weights = [np.full(shape, number) for shape in weight_shapes(config).values()]
    write_model(folder, config | {"number": number}, weights)

def read(folder):
    config, weights = read_model(folder)
    assert config["characters"] == ("abc", "wxyz☾")[config["number"] % 2], config
    assert all((array == config["number"]).all() for array in weights.values()), config
    return config["number"]
"""
# A process that saves one model after the other is killed after a while, again and again.
KILLER = """
import multiprocessing, random, sys, time
folder, start, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])

def save(saved):
    while True:
        write(folder, saved.value + 1)
        saved.value += 1

if __name__ == "__main__":
    random.seed(0)
    context = multiprocessing.get_context(start)
    saved = context.Value("q", 0, lock=False)
    write(folder, 0)
    for _ in range(kills):
        writer, before = context.Process(target=save, args=(saved,)), saved.value
        writer.start()
        while saved.value == before:
            time.sleep(0.0005)
        time.sleep(random.random() * 0.01)
        writer.kill()
        writer.join()
        assert saved.value <= read(folder) <= saved.value + 1
    print(saved.value, "saves")
"""


def run(code, *arguments, cwd=ROOT):
    """Run Python code in a process of its own; return what it prints."""
    command = [sys.executable, "-c", MODELS + code, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_killed_at_any_moment_a_writer_leaves_a_whole_model(tmp_path):
    (tmp_path / "killer.py").write_text(MODELS + KILLER, encoding="utf-8")
    forks = "fork" in multiprocessing.get_all_start_methods()
    start, kills = ("fork", 60) if forks else ("spawn", 5)
    command = [sys.executable, tmp_path / "killer.py", tmp_path / "model", start, str(kills)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert int(done.stdout.split()[0]) >= kills
    leftovers = list((tmp_path / "model").glob("*.part"))
    assert leftovers, "no writer was killed in the middle of a save"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not replace a file that is being read")
def test_two_writers_and_a_reader_do_not_disturb_each_other(tmp_path):
    writer = "import sys\nfor i in range(150): write(sys.argv[1], 2 * i + int(sys.argv[2]))"
    namespace = {}
    exec(MODELS, namespace)
    namespace["write"](tmp_path, 0)
    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(run, writer, tmp_path, parity) for parity in (0, 1)]
        seen = set()
        while not all(each.done() for each in writers):
            seen.add(namespace["read"](tmp_path))
        assert [each.result() for each in writers] == ["", ""]
    assert {number % 2 for number in seen} == {0, 1} and len(seen) > 20
    assert namespace["read"](tmp_path) in (298, 299)
    assert os.listdir(tmp_path) == ["model.npz"]


FULL = """
import errno, os, sys
folder, path = sys.argv[1], os.path.join(sys.argv[1], "model.npz")
{prepare}
sizes = []
for number in (1, 2):
    write(folder, number)
    sizes.append(os.path.getsize(path))
for limit in range(0, sizes[0], 999):
    {fill}
    try:
        write(folder, 3)
    except OSError as problem:
        assert problem.errno in (errno.EFBIG, errno.ENOSPC), problem
        assert problem.filename == path, problem
        assert "what was saved there before is intact" in str(problem), problem
    else:
        raise AssertionError(f"{{limit}} bytes sufficed for {{sizes[0]}}")
    assert read(folder) == 2
    assert set(os.listdir(folder)) <= {{"model.npz", "ballast"}}, os.listdir(folder)
print(sizes[0])
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows does not limit the size of files")
def test_where_the_model_does_not_fit_the_old_one_stays(tmp_path):
    prepare = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    fill = "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))"
    assert int(run(FULL.format(prepare=prepare, fill=fill), tmp_path)) > 80_000


def test_on_a_full_disk_the_old_model_stays(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    fill = """with open(os.path.join(folder, "ballast"), "wb", buffering=0) as ballast:
        try:
            while ballast.write(bytes(4096)): pass
        except OSError: pass
        ballast.truncate(max(0, ballast.tell() - limit // 4096 * 4096))"""
    try:
        assert int(run(FULL.format(prepare="", fill=fill), tmp_path)) > 80_000
    finally:
        subprocess.run(["umount", tmp_path], check=True)
