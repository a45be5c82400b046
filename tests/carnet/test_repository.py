"""Code is told apart by commit, difference or wheel, and credentials stay."""

import hashlib
import pathlib
import stat
import subprocess

import numpy
import pytest

from carnet import repository

IDENTITY = ("-c", "user.name=n", "-c", "user.email=e@example.org")


def _git(place, *words):
  done = subprocess.run(
    ["git", *IDENTITY, *words],
    cwd=place,
    check=True,
    capture_output=True,
    text=True,
  )
  return done.stdout.strip()


@pytest.fixture
def code(tmp_path):
  """Returns a repository with one commit of one package."""
  place = tmp_path / "code"
  (place / "package").mkdir(parents=True)
  (place / "package/__init__.py").write_text("x = 1\n")
  (place / ".gitignore").write_text("ignored\n")
  _git(place, "init", "-q")
  _git(place, "add", "-A")
  _git(place, "commit", "-q", "-m", "first")
  return place


def _of(code):
  return repository.of_package(code / "package/__init__.py", "no-such-wheel")


def test_a_clean_tree_is_its_commit(code):
  (code / "ignored").write_text("")
  assert _of(code) == repository.Repository(
    commit=_git(code, "rev-parse", "HEAD"), dirty=False, untracked=0
  )


def test_a_change_makes_it_dirty_and_is_told_by_its_digest(code):
  clean = _of(code)
  module = code / "package/__init__.py"
  found = []
  for text in ("x = 2\n", "x = 3\n", "x = 2\n"):
    module.write_text(text)
    found.append(_of(code))
  assert all(x.dirty and x.commit == clean.commit for x in found)
  first, second, third = (x.diff_sha256 for x in found)
  assert first == third != second
  _git(code, "add", "-A")  # staged is changed as well
  assert _of(code).diff_sha256 == first


def test_the_digest_is_that_of_git_diff_whatever_the_user_configured(code):
  (code / "package/__init__.py").write_text("x = 2\n")
  plain = subprocess.run(
    ["git", "diff", "--full-index", "HEAD"], cwd=code, capture_output=True
  ).stdout
  for key, value in (
    ("diff.noprefix", "true"),
    ("diff.context", "0"),
    ("color.diff", "always"),
    ("diff.algorithm", "histogram"),
  ):
    _git(code, "config", key, value)
  assert _of(code).diff_sha256 == hashlib.sha256(plain).hexdigest()


def test_files_that_git_does_not_know_count(code):
  (code / "package/new.py").write_text("")
  found = _of(code)
  assert (found.dirty, found.untracked, found.diff_sha256) == (True, 1, None)


def test_a_file_in_an_environment_below_is_not_of_the_repository(code):
  module = code / "ignored/site-packages/other.py"
  module.parent.mkdir(parents=True)
  module.write_text("")
  found = repository.of_package(module, "no-such-wheel")
  assert found == repository.Repository()


def test_an_installed_wheel_is_its_version_and_record():
  path = pathlib.Path(numpy.__file__)
  found = repository.of_package(path, "numpy")
  record = path.parents[1] / f"numpy-{numpy.__version__}.dist-info/RECORD"
  rows = [
    row
    for row in sorted(record.read_text().splitlines())
    if row.startswith("numpy") and ".dist-info/" not in row
    if not row.endswith(".pyc,,")
  ]
  content = "".join(f"{row}\n" for row in rows)
  assert any(row.startswith("numpy/__init__.py,sha256=") for row in rows)
  assert found == repository.Repository(
    package=f"numpy {numpy.__version__}",
    record_sha256=hashlib.sha256(content.encode()).hexdigest(),
  )
  # numpy's file is none of pytest's
  assert repository.of_package(path, "pytest") == repository.Repository()


def test_another_environment_is_no_other_wheel():
  here = (
    "../../../bin/p,sha256=a,1\np/__init__.py,sha256=b,2\n"
    "p/__pycache__/__init__.cpython-311.pyc,,\np-1.dist-info/INSTALLER,,3\n"
  )
  there = "../../../bin/p,sha256=c,1\np/__init__.py,sha256=b,2\n"
  rows = {repository._fixed_rows(x) for x in (here, there)}
  assert rows == {"p/__init__.py,sha256=b,2\n"}


def test_files_that_git_neither_knows_nor_ignores(code):
  for name in ("package/new.py", "ignored", "beside.py"):
    (code / name).write_text("")
  assert repository.untracked(code / "package") == ("new.py",)
  assert repository.untracked(code / "ignored") == ()


def test_without_git_nothing_is_guessed(code, monkeypatch):
  monkeypatch.setenv("PATH", "")
  assert _of(code) == repository.Repository()


def test_no_hook_monitor_or_diff_program_runs(code, tmp_path):
  spy, trace = tmp_path / "spy", tmp_path / "trace"
  spy.write_text(f"#!/bin/sh\necho ran >> '{trace}'\n")
  spy.chmod(spy.stat().st_mode | stat.S_IXUSR)
  hooks = tmp_path / "hooks"
  hooks.mkdir()
  for name in ("post-index-change", "fsmonitor-watchman"):
    (hooks / name).symlink_to(spy)
  (code / ".gitattributes").write_text("*.py diff=spy filter=s=y\n")
  _git(code, "add", "-A")
  _git(code, "commit", "-q", "-m", "second")
  for key, value in (
    ("core.hooksPath", hooks),
    ("core.fsmonitor", spy),
    ("diff.external", spy),
    ("diff.spy.textconv", spy),
    ("diff.spy.command", spy),
    ("core.pager", spy),
    ("filter.s=y.clean", spy),
    ("filter.s=y.process", spy),
    ("filter.s=y.required", "true"),
  ):
    _git(code, "config", key, str(value))
  trace.unlink(missing_ok=True)
  (code / "package/__init__.py").write_text("x = 2\n")
  assert _of(code).dirty
  assert not trace.exists()
  # the spy works, and is no filter that git could use
  subprocess.run(["git", "status"], cwd=code, capture_output=True)
  assert trace.exists()


def test_no_filter_of_a_submodule_runs(code, tmp_path):
  inner, trace = tmp_path / "inner", tmp_path / "trace"
  inner.mkdir()
  (inner / ".gitattributes").write_text("* filter=spy\n")
  (inner / "file").write_text("x\n")
  _git(inner, "init", "-q")
  _git(inner, "add", "-A")
  _git(inner, "commit", "-q", "-m", "first")
  allow = ("-c", "protocol.file.allow=always")
  _git(code, *allow, "submodule", "--quiet", "add", str(inner), "sub")
  _git(code, "commit", "-q", "-m", "second")
  assert not _of(code).dirty
  _git(code / "sub", "config", "filter.spy.clean", f"touch '{trace}'; cat")
  (code / "sub/file").write_text("y\n")
  assert _of(code).dirty
  assert not trace.exists()
  _git(code, "status")  # the spy works
  assert trace.exists()


def test_git_is_asked_about_this_directory_and_no_other(code, monkeypatch):
  monkeypatch.setenv("GIT_DIR", "/nowhere")
  assert _of(code).commit


@pytest.mark.parametrize(
  ("url", "told"),
  [
    ("https://u:secret@example.org/a/b.git", "https://example.org/a/b.git"),
    ("https://secret@example.org:8443/b", "https://example.org:8443/b"),
    ("https://example.org/b?private_token=secret", "https://example.org/b"),
    ("ssh://git@example.org/b.git", "ssh://example.org/b.git"),
    ("git@example.org:a/b.git", "example.org:a/b.git"),
    # nobody knows where such a password ends
    ("https://u:sec/ret@example.org/b", None),
    ("https://u:sec#ret@example.org/b", None),
    ("https://u:sec?ret@example.org/b", None),
    ("u:secret@example.org:b", None),
    ("/home/secret/b", None),
    ("file:///home/secret/b", None),
    ("../secret", None),
    ("C:\\secret", None),
  ],
)
def test_addresses_lose_their_credentials(code, url, told):
  _git(code, "remote", "add", "upstream", "https://example.org/other")
  _git(code, "remote", "add", "origin", url)
  assert _of(code).remote == told
  assert "secret" not in str(told)
