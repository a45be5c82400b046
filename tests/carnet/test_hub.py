"""The hub is asked for a commit once, and files come from that commit."""

import sys
import types

import pytest

from carnet import errors, hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HfHubHTTPError(OSError):
  pass


class RepositoryNotFoundError(HfHubHTTPError):
  pass


class GatedRepoError(RepositoryNotFoundError):
  pass


class RevisionNotFoundError(HfHubHTTPError):
  pass


class LocalEntryNotFoundError(FileNotFoundError):
  pass


class TransportError(Exception):
  pass


class ConnectError(TransportError):
  pass


@pytest.fixture
def library(monkeypatch, tmp_path):
  """Returns a huggingface_hub that keeps what it was asked."""
  module = types.ModuleType("huggingface_hub")
  module.asked = []
  module.fault = None
  module.cached = False
  folder = tmp_path / "snapshots" / COMMIT
  listing = tmp_path / "trees" / f"{COMMIT}.json"
  module.folder, module.listing = folder, listing

  def info(kind):
    def ask(self, repo_id, revision=None):
      module.asked.append((kind, repo_id, revision))
      if module.fault:
        raise module.fault
      return types.SimpleNamespace(sha=COMMIT)

    return ask

  def snapshot_download(
    repo_id, *, repo_type, revision, allow_patterns, local_files_only=False
  ):
    if local_files_only:
      if not module.cached:
        raise LocalEntryNotFoundError("not in the cache")
      return str(folder)
    module.asked.append((repo_type, repo_id, revision, allow_patterns))
    if module.fault:
      raise module.fault
    return str(folder)

  module.HfApi = type(
    "HfApi", (), {"dataset_info": info("dataset"), "model_info": info("model")}
  )
  module.snapshot_download = snapshot_download
  monkeypatch.setitem(sys.modules, "huggingface_hub", module)
  return module


@pytest.mark.parametrize("kind", ["dataset", "model"])
@pytest.mark.parametrize("revision", [None, "main", "v3.0", "refs/pr/3"])
def test_files_come_from_the_commit_a_name_stood_for(library, kind, revision):
  found = hub.snapshot("user/name", kind, revision, ("meta/*", "data/*"))
  assert found == hub.Snapshot(library.folder, COMMIT)
  assert library.asked == [
    (kind, "user/name", revision),
    (kind, "user/name", COMMIT, ["meta/*", "data/*"]),
  ]


def test_a_full_commit_is_not_asked_for(library):
  assert hub.snapshot("user/name", "model", COMMIT, ("*",)).commit == COMMIT
  assert library.asked == [("model", "user/name", COMMIT, ["*"])]


def test_a_whole_commit_in_the_cache_needs_no_network(library):
  library.cached, library.fault = True, ConnectError("refused")
  library.listing.parent.mkdir()
  library.listing.write_text("{}")
  found = hub.snapshot("user/name", "dataset", COMMIT, ("*",))
  assert found == hub.Snapshot(library.folder, COMMIT)
  assert not library.asked


def test_what_may_be_part_of_a_commit_is_completed(library):
  library.cached = True  # and nothing tells what the commit holds
  hub.snapshot("user/name", "dataset", COMMIT, ("*",))
  assert library.asked == [("dataset", "user/name", COMMIT, ["*"])]


@pytest.mark.parametrize(
  ("fault", "told"),
  [
    (RepositoryNotFoundError("404\n\nRequest ID"), "no such dataset"),
    (GatedRepoError("403"), "on request"),
    (RevisionNotFoundError("404"), "no such branch, tag or commit"),
    (LocalEntryNotFoundError("offline"), "out of reach"),
    (ConnectError("refused"), "out of reach.*refused"),
    (HfHubHTTPError("500\nServer Error"), "500 Server Error"),
  ],
)
@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_faults_are_one_line_that_names_the_place(
  library, fault, told, revision
):
  library.fault = fault
  with pytest.raises(errors.UserError, match=told) as caught:
    hub.snapshot("user/name", "dataset", revision, ("*",))
  assert str(caught.value).startswith(f"user/name@{revision}: ")
  assert "\n" not in str(caught.value)


def test_a_fault_of_ours_is_not_dressed_up(library):
  library.fault = KeyError("sha")
  with pytest.raises(KeyError):
    hub.snapshot("user/name", "dataset", None, ("*",))


@pytest.mark.parametrize(
  "repo_id",
  ["name", "a/b/c", "../b", "a/..", "/a", "a/", "a b/c", "a/" + "b" * 200],
)
def test_what_is_no_id_is_not_asked_for(library, repo_id):
  with pytest.raises(errors.UserError, match="no repository of the hub"):
    hub.snapshot(repo_id, "dataset", None, ("*",))
  with pytest.raises(errors.UserError, match="is no revision"):
    hub.snapshot("user/name", "dataset", "a\nb", ("*",))
  assert not library.asked


def test_without_the_library(monkeypatch):
  monkeypatch.setitem(sys.modules, "huggingface_hub", None)
  with pytest.raises(errors.UserError, match=r"carnet\[hub\]"):
    hub.snapshot("user/name", "dataset", None, ("*",))


@pytest.mark.parametrize(
  ("text", "is_one"),
  [("user/name", True), ("user/name@v3.0", True), ("./a", False), ("a", False)],
)
def test_what_reads_as_an_id(text, is_one):
  assert hub.is_id(text) is is_one
