"""Code that trained against code that measures."""

import importlib.metadata
import sys
import types

import checking
import pytest
import sample

from carnet import repository
from carnet.passport import family
from carnet.passport.checks import issues
from carnet.passport.static import source

HERE = repository.Repository(commit="a" * 40, dirty=False)


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
  module = types.ModuleType("my_robot.contract")
  module.__file__ = "/somewhere/my_robot/contract.py"
  monkeypatch.setitem(sys.modules, module.__name__, module)
  entry = importlib.metadata.EntryPoint(
    "mine", module.__name__, "carnet.families"
  )
  monkeypatch.setattr(family, "entries", lambda group: (entry,))
  monkeypatch.setattr(repository, "of_package", lambda path, name: HERE)


@pytest.mark.parametrize(
  ("trained", "title"),
  [
    (HERE, ""),
    (repository.Repository(commit="a" * 40, untracked=3), ""),
    (
      repository.Repository(commit="b" * 40),
      "trained with commit bbbbbbbbbbbb, measured with commit aaaaaaaaaaaa",
    ),
    (
      repository.Repository(commit="a" * 40, dirty=True, diff_sha256="c" * 64),
      "trained with commit aaaaaaaaaaaa and changes cccccccccccc, measured "
      "with commit aaaaaaaaaaaa",
    ),
    (
      repository.Repository(package="my_robot 1.0"),
      "trained with my_robot 1.0, measured with commit aaaaaaaaaaaa",
    ),
  ],
  ids=["same", "untracked", "commit", "changes", "wheel"],
)
def test_other_code_is_named(trained, title):
  rows = source.issues("my_robot.model", trained)
  assert [row.title for row in rows] == ([title] if title else [])


def test_nobody_knows_of_another_program():
  other = repository.Repository(commit="b" * 40)
  assert source.issues("their_robot.model", other) == ()
  assert source.issues(None, other) == ()
  assert source.issues("my_robot.model", None) == ()


def test_the_issue_makes_its_check_soft(step):
  row = {
    **{"id": "x", "title": "other code", "severity": "medium"},
    **{"affected": "all", "workaround": "check out", "check_type": "code"},
    "check_id": source.CHECK,
  }
  status = []
  for rows in ([], [row]):
    sample.write(step, known_issues=rows)
    found = checking.findings(step, issues.CHECKS)
    assert found["known_issue_check_ids"].status == "pass"
    status.append(found[source.CHECK].status)
  assert status == ["pass", "soft"]
