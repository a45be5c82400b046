"""What several checks ask for is found once a checkpoint, a failure as well."""

import pathlib

import checking
import pytest

from carnet import errors
from carnet.passport import context, generate, once
from carnet.passport.checks import rerun, tree

CLAIMS = {check.__name__ for check in rerun._ALL}


@pytest.mark.parametrize("error", [errors.UserError, ValueError])
def test_a_failure_is_kept(error):
  asked = []

  @once.Once
  def failing(found):
    asked.append(found)
    raise error("no GPU")

  first, second = (context.Context(pathlib.Path()) for _ in range(2))
  for found in (first, first, second):
    with pytest.raises(error, match="no GPU"):
      failing(found)
  assert asked == [first, second]


def test_an_answer_is_kept():
  asked = []
  count = once.Once(lambda found: asked.append(found) or len(asked))
  first, second = (context.Context(pathlib.Path()) for _ in range(2))
  assert [count(x) for x in (first, first, second)] == [1, 1, 2]


def test_an_entry_that_fails_is_run_once(step, monkeypatch):
  calls = []

  def measure(*_):
    calls.append(1)
    raise errors.UserError("the policy could not be examined: no GPU")

  monkeypatch.setattr(generate, "measure", measure)
  options = {"rerun": True, "entry": "mine:examine"}
  found = checking.findings(step, rerun.CHECKS, **options)
  assert found.keys() == CLAIMS
  for result in found.values():
    assert result.status == "fail"
    assert "no GPU" in result.finding.evidence
  assert len(calls) == 1


def test_arrays_that_cannot_be_read_are_read_once(step, monkeypatch):
  from carnet.checkpoint import reader

  calls = []

  def contents(*_):
    calls.append(1)
    raise errors.UserError("the disk is gone")

  monkeypatch.setattr(reader, "contents", contents)
  found = checking.findings(step, tree.CHECKS, rerun=True)
  for name in ("tree_digest_recomputed", "weights_finite_recomputed"):
    assert "the disk is gone" in found[name].finding.evidence
  assert len(calls) == 1
