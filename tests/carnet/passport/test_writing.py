"""What is written is whole, and what is no plain file stays what it is."""

import io
import os
import resource
import stat
import sys
import threading

import pytest

from carnet import errors
from carnet.passport import writing


@pytest.fixture
def small_files():
  """Lets no file grow over 1000 bytes, as a full disk does."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
  yield
  resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_nothing_and_a_plain_file_are_replaced_in_one_go(tmp_path):
  place = tmp_path / "report"
  for content in (b"one", b"two"):
    writing.put(str(place), content)
    assert place.read_bytes() == content
  other = place.stat().st_ino
  writing.put(str(place), b"three")
  assert place.stat().st_ino != other
  assert os.listdir(tmp_path) == ["report"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path, mode):
  place = tmp_path / "report"
  place.write_bytes(b"one")
  place.chmod(mode)
  writing.put(str(place), b"two")
  assert place.read_bytes() == b"two"
  assert stat.S_IMODE(place.stat().st_mode) == mode


def test_a_new_file_has_the_permissions_of_every_new_file(tmp_path):
  (tmp_path / "other").touch()
  writing.put(str(tmp_path / "report"), b"told")
  modes = {path.stat().st_mode for path in tmp_path.iterdir()}
  assert len(modes) == 1


def test_a_pipe_is_written_into(tmp_path):
  place = tmp_path / "pipe"
  os.mkfifo(place)
  read = []
  reader = threading.Thread(target=lambda: read.append(place.read_bytes()))
  reader.start()
  writing.put(str(place), b"told")
  reader.join()
  assert read == [b"told"]
  assert stat.S_ISFIFO(place.lstat().st_mode)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_names_is_written(tmp_path, there):
  aim, place = tmp_path / "aim", tmp_path / "link"
  if there:
    aim.write_text("something longer")
  place.symlink_to(aim)
  writing.put(str(place), b"told")
  assert place.is_symlink()
  assert aim.read_bytes() == b"told"


def test_a_device_stays_and_says_why_it_takes_nothing(tmp_path):
  place = tmp_path / "full"
  place.symlink_to("/dev/full")
  with pytest.raises(errors.UserError, match=r"cannot write .*No space left"):
    writing.put(str(place), b"told")
  assert stat.S_ISCHR(place.stat().st_mode)
  assert os.listdir(tmp_path) == ["full"]


def test_a_full_disk_leaves_what_was_there(tmp_path, small_files):
  place = tmp_path / "report"
  place.write_bytes(b"old")
  with pytest.raises(errors.UserError, match=r"cannot write .*report: File"):
    writing.put(str(place), bytes(2000))
  assert place.read_bytes() == b"old"
  assert os.listdir(tmp_path) == ["report"]


def test_a_directory_is_no_place(tmp_path):
  (tmp_path / "folder").mkdir()
  with pytest.raises(errors.UserError, match=r"cannot write .*directory"):
    writing.put(str(tmp_path / "folder"), b"told")
  with pytest.raises(errors.UserError, match=r"cannot write .*directory"):
    writing.write(tmp_path / "folder", b"told")
  assert os.listdir(tmp_path) == ["folder"]


def test_a_hyphen_is_standard_output(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  writing.put("-", b"told")
  assert capsys.readouterr().out == "told"
  assert os.listdir(tmp_path) == []


def test_letters_that_a_terminal_lacks_are_spelled(monkeypatch):
  out = io.TextIOWrapper(io.BytesIO(), "ascii")
  monkeypatch.setattr(sys, "stdout", out)
  writing.say("n\u00e4he")
  assert out.buffer.getvalue() == b"n\\xe4he"
  monkeypatch.setattr(sys, "stdout", io.StringIO())
  writing.say("n\u00e4he \udcff")
  assert sys.stdout.getvalue() == "n\u00e4he \\udcff"


def test_a_closed_standard_output_is_said(monkeypatch, capsys):
  monkeypatch.setattr(sys, "stdout", None)
  with pytest.raises(errors.UserError, match="standard output: it is closed"):
    writing.say("told")
  writing.tell("told")
  assert capsys.readouterr().err.count("\n") == 1


def test_what_is_done_does_not_depend_on_who_listens(monkeypatch):
  class Left(io.RawIOBase):
    def writable(self):
      return True

    def write(self, content):
      raise BrokenPipeError

  out = io.TextIOWrapper(io.BufferedWriter(Left()))
  with monkeypatch.context() as patched:
    patched.setattr(sys, "stdout", out)
    with pytest.raises(BrokenPipeError):
      writing.say("told")
    writing.tell("told")
  with pytest.raises(BrokenPipeError):
    out.close()
