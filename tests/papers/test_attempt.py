"""The papers at the end of a run: none, and it goes on, or soft ones."""

import pytest
import tiny_config

from act import train
from carnet import errors, repository
from carnet.checkpoint import directory
from carnet.passport import schema
from scripts import papers


@pytest.fixture(scope="module")
def unpacked(demonstrations, tmp_path_factory):
  """Yields the workdir of a run whose code lies in no repository."""
  config = tiny_config.get_config()
  config.dataset.path = str(demonstrations)
  workdir = tmp_path_factory.mktemp("unpacked") / "run"
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(
      repository, "of_package", lambda *_: repository.Repository()
    )
    train.train(config, workdir)
    yield workdir


def test_without_git_all_goes_on_but_nobody_signs(unpacked, capsys):
  attempt = papers.attempt(unpacked)
  said = capsys.readouterr().out
  assert attempt == papers.Attempt(unpacked, signed=False)
  assert "not signed: soft findings" in said
  assert "training_tree_clean" in said
  assert "model_source_at_commit" not in said  # the same files measure it
  assert "signed: no" in said
  assert attempt.summary() == {
    "signed": False,
    "report": str(unpacked / "report.html"),
  }
  loaded = attempt.load()
  found = schema.read(loaded.step_directory / directory.PASSPORT)
  assert found.provenance.training_commit is None
  assert "sources sha256" in found.provenance.training_package
  assert loaded.facts["passport"]["verdict"] is None
  attempt.check()


@pytest.mark.parametrize("error", [errors.UserError, RuntimeError])
def test_a_failure_waits_for_the_evaluation(
  unpacked, monkeypatch, capsys, error
):
  def fail(*_):
    raise error("the disk is full")

  monkeypatch.setattr(papers, "complete", fail)
  attempt = papers.attempt(unpacked)
  assert "no valid passport: the disk is full" in capsys.readouterr().out
  assert not attempt.summary()["signed"]
  assert "passport" not in attempt.load().facts
  with pytest.raises(error, match="the disk is full"):
    attempt.check()
