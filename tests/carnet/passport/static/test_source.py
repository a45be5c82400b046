"""Code that trained against code that measures."""

import importlib.metadata
import types

import checking
import pytest
import sample

from carnet import repository, run_context, sources
from carnet.passport import context, family, measured, schema
from carnet.passport.checks import issues
from carnet.passport.static import source

A, B, C = "a" * 40, "b" * 40, "c" * 64
SOURCES = "carnet 1.0, sources sha256 " + "d" * 64
OTHER = "carnet 1.0, sources sha256 " + "e" * 64
Code = repository.Repository
HERE = Code(commit=A, dirty=False, untracked=0)
WHEEL = Code(package="carnet 1.0", record_sha256=C)


def _titles(trained, present):
  code = measured.Code(repository=present, sources=SOURCES)
  return [row.title for row in source.issues(trained, code)]


@pytest.mark.parametrize(
  ("trained", "present"),
  [
    (HERE, HERE),
    (HERE, Code(commit=A, dirty=True, untracked=3)),  # notes, not modules
    (Code(commit=A, dirty=True, diff_sha256=C), Code(commit=A)),
    (Code(commit=A, dirty=True, untracked=0), HERE),  # no time for the diff
    (HERE, Code(package=SOURCES)),  # git is absent, or refuses
    (WHEEL, Code(package=SOURCES)),
    (Code(package=SOURCES), HERE),
    (Code(package=SOURCES), Code(package=SOURCES)),
    (WHEEL, WHEEL),
    (Code(), HERE),
    (None, HERE),
  ],
)
def test_nothing_is_claimed_of_the_same_or_of_what_nobody_told(
  trained, present
):
  assert _titles(trained, present) == []


@pytest.mark.parametrize(
  ("trained", "present", "title"),
  [
    (
      *(Code(commit=B), HERE),
      "trained with commit bbbbbbbbbbbb, measured with commit aaaaaaaaaaaa",
    ),
    (
      *(Code(commit=A, dirty=True, diff_sha256=C), HERE),
      "trained with commit aaaaaaaaaaaa and changes cccccccccccc, measured "
      "with commit aaaaaaaaaaaa",
    ),
    (
      *(HERE, Code(commit=A, dirty=True, untracked=1, package=SOURCES)),
      "trained with commit aaaaaaaaaaaa, measured with commit aaaaaaaaaaaa "
      "and modules that git does not know",
    ),
    (
      *(WHEEL, HERE),
      "trained with carnet 1.0 (files cccccccccccc), measured with commit "
      "aaaaaaaaaaaa",
    ),
    (
      *(WHEEL, Code(package="carnet 1.0", record_sha256="f" * 64)),
      "trained with carnet 1.0 (files cccccccccccc), measured with carnet 1.0 "
      "(files ffffffffffff)",
    ),
    (
      *(Code(package=OTHER), HERE),
      f"trained with {OTHER}, measured with commit aaaaaaaaaaaa",
    ),
  ],
  ids=["commit", "changes", "untracked", "kind", "wheel", "sources"],
)
def test_other_code_is_named(trained, present, title):
  assert _titles(trained, present) == [title]


def test_nobody_knows_of_another_program(monkeypatch):
  entry = importlib.metadata.EntryPoint(
    "mine", "carnet.sources", "carnet.families"
  )
  monkeypatch.setattr(family, "entries", lambda group: (entry,))
  assert source.present("their_robot.model") is None
  assert source.present(None) is None
  assert source.issues(Code(commit=B), None) == ()


def test_a_family_is_told_by_the_file_that_is_imported(monkeypatch):
  entry = importlib.metadata.EntryPoint(
    "mine", "carnet.sources", "carnet.families"
  )
  monkeypatch.setattr(family, "entries", lambda group: (entry,))
  monkeypatch.setattr(repository, "of_package", lambda *_: HERE)
  assert source.present("carnet.model") == measured.Code(
    repository=HERE,
    sources=sources.identity(source.pathlib.Path(sources.__file__)),
  )


def test_it_becomes_a_known_issue_of_the_passport(step, monkeypatch):
  launch = types.SimpleNamespace(training_repository=HERE)
  monkeypatch.setattr(run_context, "read", lambda path: launch)
  found = context.Context(step).passport
  other = Code(commit=B, dirty=False, untracked=0)
  code = measured.Code(repository=other, sources=SOURCES)
  told = source.told(found, step, code)
  assert [row.id for row in told.known_issues] == ["measured-with-other-code"]
  assert schema.decode(schema.encode(told), "it") == told
  assert source.told(told, step, code) == told
  assert source.told(found, step, None) == found


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
