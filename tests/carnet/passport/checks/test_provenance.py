"""Where a policy comes from, as recorded at launch, and where it goes."""

import json

import checking
import pytest
import sample

from carnet import run_context
from carnet.checkpoint import digest, directory
from carnet.passport import context
from carnet.passport.checks import provenance

BASE = "provenance"
COMMIT = "a" * 40


def red(step, **options):
  return checking.red(step, provenance.CHECKS, **options)


def one(step, name, **options):
  return checking.findings(step, provenance.CHECKS, **options)[name]


def launch(step, **changes):
  """Writes a run context that says what the sample's passport says."""
  told = sample.passport(step).provenance
  row = told.training_datasets[0]
  body = {
    "captured_at_launch": True,
    "run_id": told.training_run.run_id,
    "started_utc": told.training_run.started_utc,
    "argv": None,
    "training_repository": {
      "remote": told.training_repo,
      "commit": told.training_commit,
      "dirty": False,
    },
    "datasets": [
      {
        **{"id": row.id, "kind": row.kind, "revision": row.revision},
        **{"loader_class": row.loader_class, "split": {"episodes": 10}},
      }
    ],
    "model": {
      "class_name": "Policy",
      "class_module": "somewhere_else.policy",
      "config_module": None,
    },
    "pretrained": None,
    "libraries": {},
    "environment": {
      **{"python": None, "platform": None, "device_kind": None},
      **{"device_count": None, "lock_file_sha256": None, "jax_config": None},
      "pythonpath": [],
    },
    "run_log": told.run_log_path,
  } | changes
  (step / run_context.NAME).write_text(json.dumps(body))
  config = json.loads((step / "config.json").read_text())
  (step / "config.json").write_text(json.dumps({**config, "seed": 0}))
  return {f"{BASE}/training_datasets/0/split": "episodes=10"}


def test_the_sample_is_green(step):
  assert red(step) == []


def test_code_without_a_name(step):
  sample.write(step, **{f"{BASE}/training_commit": None})
  assert "training_commit_present" in red(step)
  package = {f"{BASE}/training_package": "carnet 0.1.0"}
  sample.write(step, **{f"{BASE}/training_commit": None}, **package)
  assert one(step, "training_commit_present").status == "pass"


@pytest.mark.parametrize("dirty", [True, None])
def test_code_with_changes_is_a_soft_signal(step, dirty):
  sample.write(step, **{f"{BASE}/training_tree_dirty": dirty})
  assert one(step, "training_tree_clean").status == "soft"


def test_a_resumption_with_other_code_is_a_soft_signal(step):
  row = {
    **{"utc": "2026-01-02T01:04:05+00:00", "step": 20, "commit": COMMIT},
    **{"dirty": False, "diff_sha256": None, "package": None},
  }
  sample.write(step, **launch(step, resumptions=[row]))
  found = one(step, "training_tree_clean")
  assert found.status == "soft"
  assert "step 20" in found.finding.evidence


def test_code_out_of_an_archive_is_told_by_its_files(step):
  name = f"carnet 1, sources sha256 {'a' * 64}"
  code = {"training_repo": name, "training_package": name}
  code |= {"training_commit": None, "training_tree_dirty": None}
  written = {f"{BASE}/{key}": value for key, value in code.items()}
  rows = [{"utc": "2026-01-02T01:04:05+00:00", "step": 20, "package": name}]
  rows[0] |= dict.fromkeys(("commit", "dirty", "diff_sha256"))
  for last, said in ((name, "lay in no git"), (f"{name}b", "step 20")):
    facts = launch(
      step,
      training_repository={"package": name},
      resumptions=[rows[0] | {"package": last}],
    )
    sample.write(step, **facts, **written)
    assert red(step) == []  # a person may accept it
    found = one(step, "training_tree_clean")
    assert found.status == "soft"
    assert said in found.finding.evidence
  sample.write(step, **facts, **written | {f"{BASE}/training_package": "x 2"})
  assert "run_context_agrees" in red(step)


def test_the_configuration_is_pinned(step):
  sample.write(step, **{f"{BASE}/config_sha256": "0" * 64})
  assert "config_sha" in red(step)
  sample.write(step)
  place = step / "config.json"
  place.write_text(place.read_text() + " ")
  assert "config_sha" in red(step)


@pytest.mark.parametrize(
  ("path", "status"),
  [
    (sample.LOG, "pass"),
    ("https://example.com/runs/7", "not_checked"),
    (None, "soft"),
    ("LOST.md", "soft"),
    ("config.json", "soft"),
    ("../TRAINING_LOG.md", "soft"),
    ("file:///etc/passwd", "soft"),
    ("https://", "soft"),
  ],
)
def test_the_log_of_the_run(step, path, status):
  sample.write(step, **{f"{BASE}/run_log_path": path})
  assert one(step, "run_log_resolvable").status == status


@pytest.mark.parametrize(
  "changes",
  [
    {"revision": None},
    {"revision": "main"},
    {"loader_class": "Loader"},
    {"loader_class": "act.dataset.NoSuchLoader"},
    {"kind": "environment", "revision": None},
  ],
)
def test_data_that_cannot_be_found_again(step, changes):
  base = f"{BASE}/training_datasets/0"
  sample.write(step, **{f"{base}/{k}": x for k, x in changes.items()})
  assert one(step, "training_datasets_resolvable").status == "soft"


def test_no_data_at_all(step):
  sample.write(step, **{f"{BASE}/training_datasets": []})
  assert one(step, "training_datasets_resolvable").status == "soft"


def test_a_loader_and_an_environment_of_ours(step):
  base = f"{BASE}/training_datasets/0"
  sample.write(
    step,
    **{
      f"{base}/loader_class": "act.dataset.Dataset",
      f"{base}/kind": "environment",
      f"{base}/revision": None,
      f"{base}/env_versions": {"mujoco": "3.8.1"},
    },
  )
  assert one(step, "training_datasets_resolvable").status == "pass"


@pytest.mark.parametrize(
  ("changes", "status"),
  [
    ({"source_revision": None}, "soft"),
    ({"source_revision": "main"}, "soft"),
    ({"source_revision": "f37072fd"}, "pass"),
    ({"source_revision": None, "file_sha256": "0" * 64}, "pass"),
  ],
)
def test_parts_that_were_trained_elsewhere(step, changes, status):
  row = {"submodule": "backbone", "source_identifier": "resnet18"} | changes
  sample.write(step, **{"model_internals/pretrained_provenance": [row]})
  assert one(step, "pretrained_pinned").status == status


def parent(**changes):
  return {
    "parent_passport_sha256": "1" * 64,
    "parent_tree_sha256": "2" * 64,
    "relation": "fine_tune",
    "note": "step 10",
  } | changes


def test_no_ancestor_is_there_twice(step):
  lineage = f"{BASE}/lineage"
  sample.write(step, **{lineage: [parent(), parent()]})
  assert "lineage_acyclic" in red(step)
  other = parent(parent_passport_sha256="3" * 64)
  sample.write(step, **{lineage: [parent(), other]})
  assert "lineage_acyclic" not in red(step)


def test_no_checkpoint_is_its_own_ancestor(step):
  root = directory.read_manifest(step).tree_sha256
  row = parent(parent_tree_sha256=root)
  sample.write(step, **{f"{BASE}/lineage": [row]})
  assert "lineage_acyclic" in red(step)
  same = row | {"relation": "reshard"}
  sample.write(step, **{f"{BASE}/lineage": [same]})
  assert "lineage_acyclic" not in red(step)


def test_a_passport_that_is_its_own_parent(step, monkeypatch):
  sample.write(step, **{f"{BASE}/lineage": [parent()]})
  monkeypatch.setattr(context.Context, "passport_sha256", "1" * 64)
  assert "lineage_acyclic" in red(step)


def test_provenance_is_what_was_recorded(step):
  sample.write(step, **launch(step))
  assert one(step, "run_context_agrees").status == "pass"


@pytest.mark.parametrize(
  ("pointer", "value"),
  [
    ("training_repo", "https://example.com/fork"),
    ("training_commit", COMMIT),
    ("training_tree_dirty", True),
    ("training_diff_sha256", "0" * 64),
    ("training_package", "carnet 9"),
    ("config_path", "stats.json"),
    ("config_sha256", "0" * 64),
    ("run_log_path", "https://example.com/other"),
    ("training_datasets", []),
    ("training_datasets/0/id", "others"),
    ("training_datasets/0/revision", "0" * 40),
    ("training_datasets/0/loader_class", "other.Loader"),
    ("training_datasets/0/split", "all"),
    ("training_datasets/0/kind", "environment"),
    ("training_datasets/0/env_versions", {"mujoco": "3.8"}),
    ("training_run/run_id", "1" * 32),
    ("training_run/steps", 31),
    ("training_run/seed", 7),
    ("training_run/started_utc", "2020-01-02T01:04:05Z"),
    ("training_run/finished_utc", "2020-01-02T01:04:05Z"),
    ("lineage", [parent()]),
  ],
)
def test_every_field_of_provenance_is_compared(step, pointer, value):
  changes = launch(step)
  sample.write(step, **changes | {f"{BASE}/{pointer}": value})
  found = one(step, "run_context_agrees").finding
  assert found.status == "fail"
  assert f"/{BASE}/{pointer.partition('/')[0]}" in found.evidence


def test_the_class_is_that_of_the_launch(step):
  changes = launch(step)
  sample.write(step, **changes, **{"model_identity/class_name": "Other"})
  found = one(step, "run_context_agrees").finding
  assert found.where == "/model_identity/class_name"


def test_digests_of_pretrained_parts_are_those_of_the_launch(step):
  part = {
    **{"submodule": "backbone", "source_identifier": "resnet18"},
    **{"source_revision": None, "file_sha256": "1" * 64},
  }
  changes = launch(step, pretrained=[part])
  rows = "model_internals/pretrained_provenance"
  sample.write(step, **changes, **{rows: [part]})
  assert one(step, "run_context_agrees").status == "pass"
  sample.write(step, **changes, **{rows: [part | {"file_sha256": "2" * 64}]})
  assert one(step, "run_context_agrees").status == "fail"


def test_without_a_launch_the_manifest_still_speaks(step):
  assert one(step, "run_context_agrees").status == "not_checked"
  sample.write(step, **{f"{BASE}/training_run/steps": 31})
  assert red(step) == ["run_context_agrees"]


def test_a_broken_run_context_is_one_line(step):
  (step / run_context.NAME).write_text("{}")
  sample.write(step)
  assert "run_context_agrees" in red(step)
  assert digest.file(step / run_context.NAME)
