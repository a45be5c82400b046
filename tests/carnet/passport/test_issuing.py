"""Papers are written by one process at a time, wholly or not at all."""

import contextlib
import os
import shutil
import subprocess
import sys

import checking
import pytest
import sample

from carnet import errors
from carnet.checkpoint import directory
from carnet.passport import issuing

OLD, NEW = b"old", b"new"
FRAME, VECTOR = (f"{folder}/0" for folder in issuing.ASSETS)


def tree(path):
  return {
    str(file.relative_to(path)): file.read_bytes()
    for file in sorted(path.rglob("*"))
    if file.is_file()
  }


@pytest.fixture
def place(tmp_path):
  """Returns a directory with papers and reference data."""
  for name in (directory.PASSPORT, directory.SIGNOFF, FRAME, "weights"):
    _write(tmp_path / "step" / name, OLD)
  return tmp_path / "step"


@pytest.fixture
def fresh(tmp_path):
  for name in (FRAME, VECTOR, "draft.json"):
    _write(tmp_path / "fresh" / name, NEW)
  return tmp_path / "fresh"


def _fail(place, fresh, error):
  with issuing.exchanged(place, fresh):
    (place / directory.PASSPORT).write_bytes(NEW)
    raise error


def _write(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)


def test_reference_data_are_exchanged_and_papers_taken_away(place, fresh):
  with issuing.exchanged(place, fresh):
    assert not (place / directory.SIGNOFF).exists()
    (place / directory.PASSPORT).write_bytes(NEW)
  wanted = {directory.PASSPORT: NEW, FRAME: NEW, VECTOR: NEW, "weights": OLD}
  assert tree(place) == wanted


@pytest.mark.parametrize("error", [KeyboardInterrupt, errors.UserError])
def test_what_fails_within_leaves_everything_as_it_was(place, fresh, error):
  before = tree(place)
  with pytest.raises(error):
    _fail(place, fresh, error)
  assert tree(place) == before
  assert not (place / VECTOR).parent.exists()


@pytest.fixture
def killed(tmp_path, monkeypatch):
  """Returns what copies a directory after each renaming, as kills leave it."""
  rename = os.rename

  def begin(path):
    copies = []

    def renamed(*words):
      rename(*words)
      copies.append(tmp_path / f"killed_{len(copies)}" / path.name)
      shutil.copytree(path, copies[-1])

    monkeypatch.setattr(os, "rename", renamed)
    return copies

  return begin


def test_what_a_kill_took_away_is_put_back_by_the_next(place, fresh, killed):
  before = tree(place)
  copies = killed(place)
  with contextlib.suppress(KeyError):
    _fail(place, fresh, KeyError)
  assert len(copies) == 8  # three away, two in, three back
  for copy in list(copies):
    with issuing.held(copy):
      assert tree(copy) == before
    assert not (copy / VECTOR).parent.exists()


def test_of_a_first_issue_that_was_killed_nothing_stays(
  tmp_path, fresh, killed
):
  bare = tmp_path / "bare"
  bare.mkdir()
  copies = killed(bare)
  with contextlib.suppress(KeyError), issuing.exchanged(bare, fresh):
    raise KeyError
  assert len(copies) == 2
  for copy in list(copies):
    assert issuing.kept(copy) is None
    with issuing.held(copy):
      assert os.listdir(copy) == []


def test_only_an_exchange_without_an_end_keeps_a_passport(place, fresh):
  assert issuing.kept(place) is None
  with issuing.exchanged(place, fresh):
    left = issuing.kept(place)
    assert left.read_bytes() == OLD
    assert left.relative_to(place).parts[1:] == ("old", directory.PASSPORT)
    (place / directory.PASSPORT).write_bytes(NEW)
    assert issuing.kept(place) is None


def test_what_cannot_be_put_back_stays_for_the_next(place, fresh, monkeypatch):
  before = tree(place)
  rename = os.rename

  def refuse(source, aim):
    if aim == place / directory.SIGNOFF:
      raise OSError(28, "No space left on device")
    rename(source, aim)

  with monkeypatch.context() as patched:
    patched.setattr(os, "rename", refuse)
    with pytest.raises(errors.UserError, match=r"cannot put back .*No space"):
      _fail(place, fresh, KeyError)
  with issuing.held(place):
    assert tree(place) == before


@pytest.mark.parametrize("link", ["", "old", "old/assets"])
def test_nothing_is_put_back_from_behind_a_link(tmp_path, link):
  aim = tmp_path / "aim"
  for name in (directory.PASSPORT, f"old/{directory.PASSPORT}"):
    _write(aim / name, OLD)
  place = tmp_path / "step/.assets.7.writing" / link
  place.parent.mkdir(parents=True)
  place.symlink_to(aim)
  before = tree(aim)
  assert issuing.kept(tmp_path / "step") is None
  with issuing.held(tmp_path / "step"):
    assert os.listdir(tmp_path / "step") == []
  assert tree(aim) == before


def test_what_cannot_be_copied_leaves_everything_as_it_was(place, fresh):
  before = tree(place)
  (fresh / "assets/reference_frames/1").symlink_to("nowhere")
  with (
    pytest.raises(errors.UserError, match=r"cannot write .*: .*No such file"),
    issuing.exchanged(place, fresh),
  ):
    pass
  assert tree(place) == before


def test_nothing_is_left_where_nothing_was_issued(tmp_path, fresh):
  (tmp_path / "bare").mkdir()
  with pytest.raises(KeyError), issuing.exchanged(tmp_path / "bare", fresh):
    raise KeyError
  assert os.listdir(tmp_path / "bare") == []


def test_another_process_is_kept_out(place):
  program = (
    "import pathlib, sys\n"
    "from carnet.passport import issuing\n"
    "with issuing.held(pathlib.Path(sys.argv[1])):\n"
    "  print('held', flush=True)\n"
    "  sys.stdin.read()\n"
  )
  other = subprocess.Popen(
    [sys.executable, "-c", program, place],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  with other:
    assert other.stdout.readline() == b"held\n"
    with (
      pytest.raises(errors.UserError, match="is being written by another"),
      issuing.held(place),
    ):
      pass
    other.stdin.close()
  with issuing.held(place), pytest.raises(errors.UserError):
    issuing.held(place).__enter__()
  with issuing.held(place):
    pass


@pytest.mark.parametrize("name", [directory.PASSPORT, directory.SIGNATURE])
def test_a_directory_in_the_place_of_a_paper_is_refused(place, name):
  (place / name).unlink(missing_ok=True)
  (place / name).mkdir()
  with pytest.raises(errors.UserError, match=f"{name} is a directory"):
    issuing.held(place).__enter__()


def test_what_a_killed_process_left_is_swept(place):
  before = tree(place)
  for name in (".SIGNOFF.json.1.writing", ".MODEL_PASSPORT.json.22.writing"):
    (place / name).write_bytes(NEW)
    assert issuing.is_leftover(name)
  _write(place / ".assets.7.writing/old" / FRAME, NEW)
  (place / ".SIGNOFF.sig.3.writing").symlink_to(place)
  with issuing.held(place):
    assert tree(place) == before
  assert not (place / ".assets.7.writing").exists()


@pytest.mark.parametrize(
  "name", [".mine.1.writing", "SIGNOFF.json.1.writing", "a/.assets.1.writing"]
)
def test_nothing_else_is_swept(place, name):
  _write(place / name, OLD)
  assert not issuing.is_leftover(name)
  with issuing.held(place):
    assert (place / name).exists()


def test_a_leftover_is_refused_by_name_with_a_remedy(step):
  sample.sign(step)
  (step / ".SIGNOFF.json.1.writing").write_bytes(NEW)
  found = checking.one(step, "unlisted_files")
  assert found.status == "fail"
  assert "left by a killed" in found.evidence
  assert "run again" in found.remedy
