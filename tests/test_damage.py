"""Damaged and hostile files of models: refused in a few words, and before they cost anything."""

import json
import pickle
import tracemalloc
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from helpers.sampling import CharLSTM
from helpers.storage import read_model, weight_shapes, write_model
from tests.small_model import headed


def refused(model, match=r"model\.npz is damaged"):
    """Read in vain; return the message, having checked that it says what to do, and is short."""
    with pytest.raises(ValueError, match=match) as caught:
        read_model(model.folder)
    message = str(caught.value)
    assert message.startswith(f"{model.path} is damaged (")
    assert message.endswith("). Fetch or train the model again.") and len(message) < 1000
    return message


@pytest.mark.parametrize("keep", [0, 1, 4, 100, 500, 1500, -1])
def test_a_truncated_file_is_refused(small_model, keep):
    whole = small_model.path.read_bytes()
    assert len(whole) > 1500
    small_model.path.write_bytes(whole[:keep])
    refused(small_model)


@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required additional header")
def test_flipped_bits_are_refused_or_harmless(small_model):
    whole, rng = small_model.path.read_bytes(), np.random.default_rng(0)
    intact, refusals = read_model(small_model.folder)[1], 0
    for _ in range(600):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        small_model.path.write_bytes(damaged)
        try:
            weights = read_model(small_model.folder)[1]
        except ValueError:  # and no other error
            refusals += 1
        else:
            assert all(np.array_equal(weights[name], intact[name]) for name in intact)
    assert refusals > 300


@pytest.mark.parametrize(
    "content", [b"<!doctype html>", b"\x93NUMPY\x01\x00", pickle.dumps([1]), b"\x00" * 1000]
)
def test_what_is_not_a_zip_is_refused(small_model, content):
    small_model.path.write_bytes(content)
    refused(small_model)


def test_a_lone_array_is_refused(small_model):
    with open(small_model.path, "wb") as file:
        np.save(file, np.zeros(3))
    refused(small_model)


@pytest.mark.parametrize(
    "changes",
    [
        {"dense.bias": None},
        {"lstm_1.bias": np.zeros(8)},
        {"dense.bias": np.array(["a", "b", "c"])},
        {"dense.bias": np.zeros(3, complex)},
        {"dense.bias": np.zeros(3, "f4,f4")},
        {"dense.bias": np.zeros(3, "datetime64[s]")},
        {"config.json": np.zeros(3)},
    ],
    ids=["missing", "too many", "text", "complex", "records", "dates", "an array named card"],
)
def test_other_arrays_are_refused(small_model, changes):
    small_model.forge(**changes)
    refused(small_model)


@pytest.mark.parametrize("value", [np.zeros(4), np.zeros((1, 3)), np.zeros(0)], ids=str)
def test_wrong_shapes_are_refused(small_model, value):
    small_model.forge()
    read_model(small_model.folder)
    small_model.forge(**{"dense.bias": value})
    refused(small_model, match=r"dense.bias should hold numbers of shape \(3,\)")


# 1e300 is a number in 64 bits, but not in the 32 that a model computes with.
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_not_finite_are_refused(small_model, value):
    small_model.forge(**{"dense.bias": np.array([0, value, 0])})
    refused(small_model, match="dense.bias holds numbers that are not finite")


@pytest.mark.parametrize("type", ["f2", "f4", "f8", ">f4", "i1", "u8"])
def test_numbers_of_any_type_are_read(small_model, type):
    small_model.forge(**{"dense.bias": np.array([1, 2, 3], type)})
    assert read_model(small_model.folder)[1]["dense.bias"].tolist() == [1, 2, 3]


# NumPy reads a header as Python literals, so it raises what a compiler raises.
@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required additional header")
@pytest.mark.parametrize(
    "header",
    ["", "\0", "'", "{}", "{'descr': (", "(" * 9000, "-" * 9000 + "1", "{[]: 1}", "9" * 5000,
     "  1\n 2", "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
     "{'descr': ['a'], 'fortran_order': False, 'shape': (3,)}",
     "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
     "{'descr': '<f4', 'fortran_order': False, 'shape': (3L,)}",
     "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}"],
    ids=lambda header: ascii(header[:60]),
)  # fmt: skip
def test_an_array_with_a_damaged_header_is_refused(small_model, header):
    small_model.forge(**{"dense.bias": headed(header)})
    refused(small_model)


@pytest.mark.parametrize("version", [(2, 0), (3, 0), (9, 9)])
def test_another_version_of_the_array_format_is_refused(small_model, version):
    header = headed("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", bytes(12))
    small_model.forge(**{"dense.bias": header[:6] + bytes(version) + header[8:]})
    refused(small_model, match="dense.bias is in version")


class Trap:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_objects_are_refused_and_never_run(small_model):
    trace = small_model.folder / "trace"
    objects = {"dense.bias": np.array([Trap(trace)] * 3, object)}
    for name, write in {
        "array": lambda: small_model.forge(**objects),
        "file": lambda: small_model.path.write_bytes(pickle.dumps(Trap(trace))),
    }.items():
        write()
        refused(small_model)
        assert not trace.exists(), name
    pickle.loads(pickle.dumps(Trap(trace)))
    assert trace.exists()  # the trap works


# --- cards ---


@pytest.mark.parametrize(
    "card",
    ["", "{", "[]", "null", "{}", '{"characters": 3}', b"\xff", "[" * 100_000, '{"a":' * 100_000],
    ids=lambda card: ascii(card[:20]),
)
def test_a_damaged_card_is_refused(small_model, card):
    small_model.forge(card)
    refused(small_model)


ABSURD = [
    *({"hidden_size": size} for size in (10**9, 10**400, 0, -1, True, 1.5, "8", None, [8], {})),
    *({"embedding_size": size} for size in (65_537, -1, False, 3.0, "3", None)),
    *({"dropout": share} for share in (1.5, 1, -0.1, float("nan"), float("inf"), "0.1", True)),
    *({"seed": seed} for seed in (-1, 2**63, 10**400, 1.0, "0", None)),
    *({"cell": cell} for cell in ("gru", "LSTM", "", None, 1, True, ["rnn"], {}, "rnn" * 999)),
    *({"characters": text} for text in ("", "aab", None, ["a", "b", "c"], 3)),
]


@pytest.mark.parametrize("changes", ABSURD, ids=lambda changes: str(changes)[:30])
def test_absurd_numbers_are_refused_on_reading_and_on_writing(small_model, changes):
    card, (name,) = small_model.config | changes, changes
    before = small_model.path.read_bytes()
    with pytest.raises(ValueError, match=f"^{name} should be ") as caught:
        write_model(small_model.folder, card, list(small_model.weights().values()))
    assert len(str(caught.value)) < 100 and small_model.path.read_bytes() == before
    small_model.forge(card)
    refused(small_model, match=rf"is damaged \({name} should be ")


@pytest.mark.parametrize("name", ["hidden_size", "embedding_size", "characters"])
def test_a_card_without_a_size_is_refused(small_model, name):
    small_model.forge({key: value for key, value in small_model.config.items() if key != name})
    refused(small_model, match=f"{name} should be ")


@pytest.mark.parametrize(
    "changes",
    [{"hidden_size": 3}, {"embedding_size": 4}, {"characters": "ab"}, {"characters": "abcd"},
     {"hidden_size": 65_536}, {"embedding_size": 65_536}],
    ids=str,
)  # fmt: skip
def test_a_card_that_does_not_fit_the_weights_is_refused(small_model, changes):
    small_model.forge(small_model.config | changes)
    refused(small_model, match="should hold numbers of shape")
    with pytest.raises(ValueError, match="is damaged"):
        CharLSTM.load(small_model.folder)


def test_a_card_of_another_cell_is_refused(small_model):
    lstm, plain = dict(small_model.config), small_model.config | {"cell": "rnn"}
    small_model.forge(plain, **small_model.weights(lstm))
    refused(small_model, match="it holds .*'lstm.kernel', .*, not .*'rnn.kernel'")
    small_model.weights = lambda: {
        name.replace("lstm", "rnn"): np.zeros(shape) for name, shape in weight_shapes(lstm).items()
    }
    small_model.forge(plain)
    refused(small_model, match=r"rnn.kernel should hold numbers of shape \(3, 2\), not \(3, 8\)")


@pytest.mark.parametrize("unknown", [{"layers": 3_000_000}, {"layers": 10**400}, {"x": [[]] * 999}])
def test_what_a_card_says_besides_costs_nothing(small_model, unknown):
    small_model.forge(small_model.config | unknown)
    with little_memory():
        config, weights = read_model(small_model.folder)
    assert config == small_model.config | unknown and len(weights) == 6
    assert CharLSTM.load(small_model.folder).zero_state()[0].shape == (1, 2)


@pytest.mark.parametrize("changes", [{"characters": "a" * 3_000_000}, {"x": "y" * 1_000_000}])
def test_a_card_of_more_than_a_million_bytes_is_never_unpacked(small_model, changes, monkeypatch):
    small_model.forge(small_model.config | changes)
    monkeypatch.delattr(zipfile.ZipFile, "read")
    with little_memory(megabytes=1):
        refused(small_model, match="config.json is larger than 1,000,000 bytes")


def test_a_number_too_long_to_be_read_is_refused(small_model):
    small_model.forge(json.dumps(small_model.config)[:-1] + ', "x": ' + "9" * 5000 + "}")
    refused(small_model)


# --- bombs ---


@contextmanager
def little_memory(megabytes=50):
    """Fail if the block asks for more memory than this at a time, even if it never touches it."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1e6
    finally:
        tracemalloc.stop()


def claim(shape):
    return headed(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n")


def forge_large(model, size, content):
    """Write a consistent model, but for the content of the one weight that is large."""
    model.config |= {"hidden_size": size, "embedding_size": 1}
    weights = weight_shapes(model.config)
    del weights["lstm.recurrent_kernel"]
    model.weights = lambda: {name: np.zeros(shape, "f4") for name, shape in weights.items()}
    model.forge(**{"lstm.recurrent_kernel": content})
    assert model.path.stat().st_size < 4e6


def test_a_file_that_unpacks_to_gigabytes_is_never_unpacked(small_model, monkeypatch):
    # Packed, a million zeros are a thousand bytes, and as many more can follow as one likes.
    packer, header = zlib.compressobj(9, zlib.DEFLATED, -15), claim((12_000, 48_000))
    start = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    million = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    forge_large(small_model, 12_000, start + million * 2304 + packer.flush())
    with zipfile.ZipFile(small_model.path, "a") as archive:
        entry = archive.getinfo("lstm.recurrent_kernel.npy")
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.file_size = len(header) + 2_304_000_000
        archive._didModify = True
    with zipfile.ZipFile(small_model.path) as archive, archive.open(entry.filename) as file:
        assert file.read(3_000_000) == header + bytes(3_000_000 - len(header))  # the bomb works
    monkeypatch.delattr(zipfile.ZipFile, "open")
    with little_memory(megabytes=5):
        refused(small_model, match="its entries are compressed")


def test_a_model_that_was_compressed_is_refused(small_model):
    arrays = read_model(small_model.folder)[1]
    np.savez_compressed(small_model.path, **arrays)
    with zipfile.ZipFile(small_model.path, "a") as archive:
        archive.writestr("config.json", json.dumps(small_model.config))
    refused(small_model, match="its entries are compressed")


@pytest.mark.parametrize("size", [12_000, 65_536])
@pytest.mark.parametrize("sizes", [[], ["file_size"], ["file_size", "compress_size"]])
def test_an_array_that_claims_a_huge_shape_is_never_allocated(small_model, size, sizes):
    header = claim((size, 4 * size))
    forge_large(small_model, size, header + bytes(999))
    with zipfile.ZipFile(small_model.path, "a") as archive:
        for each in sizes:
            entry = archive.getinfo("lstm.recurrent_kernel.npy")
            setattr(entry, each, len(header) + 16 * size**2)
        archive._didModify = True
    with little_memory():
        refused(small_model)


def test_an_array_that_claims_another_huge_shape_is_never_read(small_model, monkeypatch):
    small_model.forge(embedding=claim((10**9, 10**9)))
    monkeypatch.delattr(np.lib.format, "read_array")
    with little_memory(megabytes=5):
        refused(small_model, match=r"of shape \(3, 3\), not \(1000000000, 1000000000\)")


@pytest.mark.parametrize("entry", ["config.json", "embedding.npy", "dense.bias.npy"])
@pytest.mark.parametrize(
    "sizes", [["file_size"], ["file_size", "compress_size"], ["compress_size"]]
)
@pytest.mark.parametrize("claimed", [2_300_000_000, 10**12])
def test_an_entry_that_claims_more_than_the_file_is_refused(small_model, entry, sizes, claimed):
    with zipfile.ZipFile(small_model.path, "a") as archive:
        for size in sizes:
            setattr(archive.getinfo(entry), size, claimed)
        archive._didModify = True
    with little_memory():
        refused(small_model)


def test_an_entry_twice_is_refused_or_harmless(small_model):
    intact = read_model(small_model.folder)[1]
    with zipfile.ZipFile(small_model.path, "a") as archive:
        (again,) = [each for each in archive.infolist() if each.filename == "dense.bias.npy"]
        archive.filelist += [again] * 10_000
        archive._didModify = True
    try:
        weights = read_model(small_model.folder)[1]
    except ValueError:
        return
    assert all(np.array_equal(weights[name], intact[name]) for name in intact)
