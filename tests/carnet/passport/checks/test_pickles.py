"""Pickles under every name, and what only looks like one."""

import gzip
import pickle
import zipfile

import checking
import numpy as np
import pytest

from carnet.passport import outcome, pickles


class _Evil:
  def __reduce__(self):
    return (print, ("executed",))


def _npy(path, array):
  np.save(path, array, allow_pickle=True)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_known_by_their_first_bytes(tmp_path, protocol):
  path = tmp_path / "innocent.json"
  plain = ({"a": 1}, [1, 2], ("x",)) if protocol > 1 else ()  # run nothing
  for value in (_Evil(), [_Evil()], *plain):
    path.write_bytes(pickle.dumps(value, protocol))
    assert pickles.fault(path, sniffed=True) == "begins like a pickle", value


@pytest.mark.parametrize(
  "name", ["x.pkl", "x.PICKLE", "x.pt", "x.pth", "x.joblib", "x.pkl.gz"]
)
def test_names_of_pickles_are_refused_whatever_is_in_them(tmp_path, name):
  (tmp_path / name).write_bytes(gzip.compress(b"x"))
  assert "named like a pickle" in pickles.fault(tmp_path / name, sniffed=False)


def test_an_archive_with_a_pickle_is_refused(tmp_path):
  with zipfile.ZipFile(tmp_path / "weights.bin", "w") as archive:
    archive.writestr("archive/data.pkl", b"x" * 100_000)
  assert "archive" in pickles.fault(tmp_path / "weights.bin", sniffed=False)


def test_a_ckpt_is_refused_when_it_is_a_pickle(tmp_path):
  path = tmp_path / "model.ckpt"
  path.write_bytes(pickle.dumps({"a": 1}, 2))
  assert pickles.fault(path, sniffed=False)
  path.write_bytes(b"\x00\x01")
  assert not pickles.fault(path, sniffed=True)


def test_arrays_of_objects_are_refused_without_reading_them(tmp_path):
  path = tmp_path / "x.npy"
  for array in (
    np.array([_Evil()], object),
    np.zeros(1, [("a", "f4"), ("b", "O")]),
  ):
    _npy(path, array)
    assert "array of objects" in pickles.fault(path, sniffed=False)
  np.save(path, np.zeros((2, 3), np.float32))
  assert not pickles.fault(path, sniffed=True)


@pytest.mark.parametrize(
  "header",
  [
    b"{'descr': '\\x4f', 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': 'object', 'fortran_order': False, 'shape': (1,), }",
  ],
)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_headers_cannot_disguise_objects(tmp_path, header, version):
  width = 2 if version == 1 else 4
  magic = b"\x93NUMPY" + bytes([version, 0])
  path = tmp_path / "x.npy"
  path.write_bytes(magic + len(header).to_bytes(width, "little") + header)
  assert pickles.fault(path, sniffed=False)


@pytest.mark.parametrize(
  "content",
  [
    b"",
    b"{}",
    b"# Log\n\ncontents\nlines\nmore\n",
    b"c\nd\n",
    b"\x89PNG\r\n",
    bytes(range(128, 256)),
    b"PK\x03\x04 no such entry",
  ],
)
def test_what_is_no_pickle_is_let_pass(tmp_path, content):
  (tmp_path / "x").write_bytes(content)
  assert not pickles.fault(tmp_path / "x", sniffed=True)


def test_t19_a_pickle_in_the_checkpoint_is_one_finding(step):
  _npy(step / "assets/extra.npy", np.array([_Evil()], object))
  found = checking.one(step, "no_pickle_files")
  assert found.status is outcome.Status.FAIL
  assert found.where == "assets/extra.npy"
