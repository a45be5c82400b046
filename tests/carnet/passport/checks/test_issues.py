"""Known issues: what blocks here, and what nobody is kept from."""

import platform

import checking
import numpy as np
import pytest
import sample

from carnet.passport.checks import issues

CONSTRAINTS = "model_identity/runtime_constraints"


def red(step):
  return checking.red(step, issues.CHECKS)


def issue(**changes):
  return {
    **{"id": "I1", "title": "It drops things", "severity": "blocking"},
    **{"affected": "all", "workaround": "Hold tighter"},
    **{"check_type": "human", "check_id": None},
  } | changes


def write(step, *rows, **changes):
  sample.write(step, **{"known_issues": list(rows)}, **changes)


def test_the_sample_is_green(step):
  results = checking.findings(step, issues.CHECKS)
  assert {r.status for r in results.values()} == {"pass"}


@pytest.mark.parametrize(
  ("affected", "here"),
  [
    ("all", True),
    ("", True),
    (platform.system(), True),
    (platform.machine(), True),
    ("windows", False),
    ("numpy<1.0", False),
    (f"numpy=={np.__version__}", True),
    ("no-such-package<2", False),
    ("robots with two left hands", True),
  ],
)
def test_a_blocking_issue_blocks_where_it_applies(step, affected, here):
  write(step, issue(affected=affected))
  assert red(step) == (["known_issue_blocking"] if here else [])


@pytest.mark.parametrize("severity", ["info", "low", "medium", "high"])
def test_lesser_issues_do_not_block(step, severity):
  write(step, issue(severity=severity))
  assert red(step) == []


def test_a_package_that_an_issue_names_has_a_constraint(step):
  row = issue(severity="high", title="Flax 0.13 renames parameters")
  write(step, row)
  result = checking.findings(step, issues.CHECKS)[
    "known_issues_have_constraints"
  ]
  assert result.status == "soft"
  assert "flax" in result.finding.evidence
  banned = {"package": "flax", "specifier": ">=0.13", "reason": "renames"}
  write(step, row, **{f"{CONSTRAINTS}/known_incompatible": [banned]})
  results = checking.findings(step, issues.CHECKS)
  assert {r.status for r in results.values()} == {"pass"}


@pytest.mark.parametrize(
  "rows",
  [
    [issue(severity="low", check_type="code")],
    [issue(severity="low", check_type="code", check_id="no_such_check")],
    [issue(severity="low", check_id="weight_hashes")],
    [issue(severity="low"), issue(severity="low")],
  ],
)
def test_issues_name_checks_that_there_are(step, rows):
  write(step, *rows)
  assert red(step) == ["known_issue_check_ids"]


def test_an_issue_that_code_checks(step):
  write(
    step,
    issue(severity="low", check_type="code", check_id="required_versions"),
  )
  assert red(step) == []
