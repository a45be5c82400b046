"""Without what a launch captures no passport is issued, or with a reason."""

import pytest
import sample

from carnet import errors
from carnet.passport.static import given, required

ABSENT = {
  "training_commit": {"provenance/training_commit": None},
  "training_datasets": {"provenance/training_datasets": []},
  "model_class": {"model_identity/class_name": None},
  "pretrained_revision": {
    "model_internals/pretrained_provenance": [
      {"submodule": "eye", "source_identifier": "hub/eye"}
      | {"source_revision": None, "file_sha256": None}
    ]
  },
  "run_log": {"provenance/run_log_path": None},
}


def allowed(*names, reason="the machine is gone"):
  return given.Given(allow_missing=names, reason=reason)


def test_nothing_is_missing_in_the_sample(step):
  draft = sample.passport(step)
  assert required.missing(draft) == ()
  assert required.settle(draft, given.Given()) == draft


def test_each_is_asked_for_by_name_with_the_flag_that_tells_it(step):
  assert set(ABSENT) == set(required.HOW)
  for name, changes in ABSENT.items():
    draft = sample.passport(step, **changes)
    assert required.missing(draft) == (name,)
    with pytest.raises(errors.UserError) as caught:
      required.settle(draft, given.Given())
    line = str(caught.value)
    assert f"{name} ({required.HOW[name]} tells)" in line
    assert "--allow-missing FIELD --reason TEXT" in line


def test_with_a_reason_it_is_a_known_issue(step):
  draft = sample.passport(step, **ABSENT["run_log"])
  found = required.settle(draft, allowed("run_log", "training_commit"))
  assert found.known_issues[:-1] == draft.known_issues
  issue = found.known_issues[-1]
  assert (issue.id, issue.workaround) == (
    "missing-run_log",
    "the machine is gone",
  )


def test_what_is_allowed_is_not_more_than_was_said(step):
  both = ABSENT["run_log"] | ABSENT["training_commit"]
  with pytest.raises(errors.UserError, match=r"launch: training_commit \("):
    required.settle(sample.passport(step, **both), allowed("run_log"))


@pytest.mark.parametrize(
  ("told", "message"),
  [
    (allowed("runlog"), "did you mean 'run_log'"),
    (allowed("run_log", reason=" "), "together"),
    (allowed(), "together"),
    (allowed("run_log", reason="one\ntwo"), "one line"),
  ],
  ids=["name", "reason", "field", "lines"],
)
def test_flags_that_do_not_fit_are_refused(step, told, message):
  with pytest.raises(errors.UserError, match=message):
    required.settle(sample.passport(step), told)


def test_versions_of_an_environment_or_a_revision_identify_data(step):
  row = sample.passport(step).provenance.training_datasets[0]
  row = row.model_dump(mode="json") | {"revision": None, "env_versions": None}
  for change, missing in (
    ({}, ("training_datasets",)),
    ({"revision": "7"}, ()),
    ({"env_versions": {"walker": "1"}}, ()),
  ):
    rows = {"provenance/training_datasets": [row | change]}
    assert required.missing(sample.passport(step, **rows)) == missing
