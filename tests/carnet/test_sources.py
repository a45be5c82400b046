"""Code without a repository is told by its files, and by no others."""

import hashlib
import os
import pathlib
import re
import subprocess

import pytest

import carnet
from carnet import launch, repository, run_context, sources

ME = ["-c", "user.name=me", "-c", "user.email=me"]
MODEL = run_context.Model(
  class_name="Net", class_module="p.net", config_module=None
)


@pytest.fixture
def unpacked(tmp_path, monkeypatch):
  """Returns a package and a carnet that lie side by side, as unpacked."""
  for name in ("carnet/__init__.py", "p/__init__.py", "p/inner/__init__.py"):
    place = tmp_path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("")
  (tmp_path / "p/inner/net.py").write_text("x = 1\n")
  monkeypatch.setattr(carnet, "__file__", str(tmp_path / "carnet/__init__.py"))
  return tmp_path


def _identity(place):
  return sources.identity(place / "p/inner/net.py")


def test_it_is_the_digest_of_names_and_contents(unpacked):
  empty = hashlib.sha256(b"").hexdigest()
  full = hashlib.sha256(b"x = 1\n").hexdigest()
  text = (
    f"carnet/__init__.py {empty}\n"
    f"p/__init__.py {empty}\n"
    f"p/inner/__init__.py {empty}\n"
    f"p/inner/net.py {full}\n"
  )
  digest = hashlib.sha256(text.encode()).hexdigest()
  found = _identity(unpacked)
  assert found == f"carnet {carnet.__version__}, sources sha256 {digest}"
  assert sources.is_identity(found)
  assert not sources.is_identity("carnet 0.1.0")


@pytest.mark.parametrize("name", ["p/inner/net.py", "carnet/new.py"])
def test_any_other_line_is_another_identity(unpacked, name):
  before = _identity(unpacked)
  (unpacked / name).write_text("x = 2\n")
  assert _identity(unpacked) != before


@pytest.mark.parametrize(
  "name",
  [
    *("q/other.py", "p/__pycache__/net.pyc", "setup.py", "p/data.bin"),
    *("p/.ipynb_checkpoints/net.py", "p/.hidden.py"),
  ],
)
def test_what_does_not_train_does_not_count(unpacked, name):
  before = _identity(unpacked)
  (unpacked / name).parent.mkdir(exist_ok=True)
  (unpacked / name).write_text("x = 2\n")
  assert _identity(unpacked) == before


def test_what_is_no_regular_file_does_not_count(unpacked):
  before = _identity(unpacked)
  (unpacked / "p/.#net.py").symlink_to("me@here.1234")  # the lock of Emacs
  (unpacked / "p/gone.py").symlink_to("nowhere.py")
  (unpacked / "p/folder.py").mkdir()
  os.mkfifo(unpacked / "p/pipe.py")
  assert _identity(unpacked) == before


def test_a_module_that_git_does_not_know_is_told_with_the_commit(
  unpacked, monkeypatch
):
  for name in list(os.environ):
    if name.startswith("GIT_"):
      monkeypatch.delenv(name)
  (unpacked / ".gitignore").write_text("runs/\n")
  for words in (["init", "-q"], ["add", "-A"], [*ME, "commit", "-qm", "first"]):
    subprocess.run(["git", "-C", unpacked, *words], check=True)
  place = unpacked / "p/inner/net.py"
  for name in ("notes.txt", "mine.py", "p/runs/x.py", "p/.x.py", "p/data.txt"):
    (unpacked / name).parent.mkdir(exist_ok=True)
    (unpacked / name).write_text("")
  found = sources.code(place)
  assert found.commit is not None
  assert (found.untracked, found.package) == (4, None)
  (unpacked / "p/new.py").write_text("")
  found = sources.code(place)
  assert found.commit is not None
  assert (found.untracked, found.package) == (5, _identity(unpacked))


def test_a_launch_from_an_archive_has_an_identity(unpacked, monkeypatch):
  monkeypatch.setattr(
    repository, "of_package", lambda *_: repository.Repository()
  )
  found = launch.capture(unpacked / "p/inner/net.py", [], MODEL)
  code = found.training_repository
  assert (code.commit, code.dirty) == (None, None)
  assert code.package == _identity(unpacked)


def test_a_commit_needs_no_digest():
  path = pathlib.Path(launch.__file__)
  code = launch.capture(path, [], MODEL).training_repository
  if repository.of_package(path, "carnet").commit is None:
    assert re.fullmatch(
      r"carnet [\d.]+(, sources sha256 \w{64})?", code.package
    )
  elif not code.untracked:
    assert code.package is None
