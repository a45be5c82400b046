"""What is said of places that hold no demonstrations: one line each."""

import os

import pytest

from act.recordings import opening, place
from carnet import errors

LONG = "x" * 300


def told(origin):
  with pytest.raises(errors.UserError) as caught:
    opening.open(origin)
  message = str(caught.value)
  assert "\n" not in message
  return message


@pytest.mark.parametrize("kind", ["", "lerobot:", "hdf5:", "rlds:"])
def test_no_file_can_be_called_so(kind):
  message = told(f"{kind}{LONG}")
  assert os.strerror(36) in message
  assert len(message) < 150
  assert not opening.present(f"{kind}{LONG}")
  assert told(f"{kind}data/\0")


@pytest.mark.parametrize("kind", ["", "lerobot:", "hdf5:", "rlds:"])
def test_a_home_that_nobody_has(kind):
  assert "~nouser/x" in told(f"{kind}~nouser/x")


def test_a_home(monkeypatch, tmp_path):
  monkeypatch.setenv("HOME", str(tmp_path))
  assert place.find("~/data") == tmp_path / "data"


def test_nothing_that_is_known(tmp_path):
  for message in (told(str(tmp_path)), told(str(tmp_path / "gone"))):
    assert message.startswith(f"no demonstrations at '{tmp_path}")
    for word in ("lerobot:", "hdf5:", "rlds:", "metadata.json", "info.json"):
      assert word in message


def test_ours_that_are_not_complete(tmp_path):
  (tmp_path / "low_dimensional.npz").write_bytes(b"")
  assert "metadata.json is absent" in told(str(tmp_path))
