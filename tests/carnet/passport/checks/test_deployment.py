"""The repository ahead: of the commit that the passport names, and clean."""

import subprocess

import checking
import pytest
import sample

from carnet.passport.checks import provenance

BASE = "provenance"
COMMIT = "a" * 40


def red(step, **options):
  return checking.red(step, provenance.CHECKS, **options)


def one(step, name, **options):
  return checking.findings(step, provenance.CHECKS, **options)[name]


@pytest.fixture
def repository(tmp_path):
  """Returns a repository with one commit, and the commit."""
  place = tmp_path / "robot"
  place.mkdir()
  (place / "adapter.py").write_text("pass\n")
  run = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
  for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
    subprocess.run([*run, *words], cwd=place, check=True)
  head = subprocess.run(
    ["git", "rev-parse", "HEAD"], cwd=place, check=True, capture_output=True
  )
  return place, head.stdout.decode().strip()


def bound(commit):
  base = f"{BASE}/deployment_repo"
  return {base: "robot", f"{base}_commit": commit}


def test_the_repository_ahead(step, repository):
  place, commit = repository
  assert one(step, "deployment_repo_match").status == "not_checked"
  assert red(step, target_repo=place) == ["deployment_repo_match"]
  sample.write(step, **bound(commit))
  assert one(step, "deployment_repo_match").status == "not_checked"
  assert red(step, target_repo=place) == []
  (place / "adapter.py").write_text("patched\n")
  found = one(step, "deployment_repo_match", target_repo=place).finding
  assert found.status == "fail"
  assert "changes" in found.evidence


def test_the_remedy_is_the_command_that_helps(step):
  found = one(step, "deployment_repo_match").finding
  assert found.remedy == "generate-passport --target-repo PATH"


@pytest.mark.parametrize("name", ["deployment_repo", "deployment_repo_commit"])
def test_a_name_and_a_commit_come_together(step, name):
  changes = bound(COMMIT) | {f"{BASE}/{name}": None}
  sample.write(step, **changes)
  assert red(step) == ["deployment_repo_match"]


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_another_commit_or_none(step, repository, tmp_path, place):
  sample.write(step, **bound(COMMIT))
  assert red(step, target_repo=repository[0]) == ["deployment_repo_match"]
  assert red(step, target_repo=tmp_path / place) == ["deployment_repo_match"]


def test_t29_git_runs_no_program_of_the_repository(step, repository, tmp_path):
  place, commit = repository
  trap = tmp_path / "trap"
  trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
  trap.chmod(0o755)
  for name in ("core.fsmonitor", "core.pager", "diff.external"):
    subprocess.run(["git", "config", name, str(trap)], cwd=place, check=True)
  hook = place / ".git" / "hooks" / "post-index-change"
  hook.write_text(trap.read_text())
  hook.chmod(0o755)
  sample.write(step, **bound(commit))
  assert red(step, target_repo=place) == []
  assert not (tmp_path / "executed").exists()
