"""The content of arrays: totals, digests, numbers that are none."""

import json

import checking
import numpy as np
import orbax.checkpoint as ocp
import pytest
import sample

from carnet import checkpoint as checkpoint_lib
from carnet.checkpoint import digest, directory
from carnet.passport import byte_budget, outcome, recomputed, schema
from carnet.passport.checks import tree

RERUN = {"rerun": True}


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("total_params", 80),
    ("trainable", 77),
    ("frozen", 2),
    ("bytes", 312),
    ("dtype_breakdown", {"float32": 79}),
  ],
)
def test_totals_are_those_of_the_leaves(step, field, value):
  sample.write(step, **{f"model_internals/parameters/{field}": value})
  found = checking.one(step, "param_totals")
  assert found.status is outcome.Status.FAIL
  assert found.where == f"/model_internals/parameters/{field}"


@pytest.mark.parametrize(
  ("field", "value", "match"),
  [
    ("root", "0" * 64, "root is not that of the listed leaves"),
    ("leaf_count", 4, "leaf_count is not that"),
    ("leaves/agent~count", "1" * 64, "agent/count has another digest"),
  ],
)
def test_digests_are_the_manifests(step, field, value, match):
  made = sample.passport(step).model_internals.tree_digest
  body = made.model_dump(mode="json")
  if field.startswith("leaves"):
    body["leaves"]["agent/count"] = value
    body["root"] = digest.tree(body["leaves"].items())
  else:
    body[field] = value
  sample.write(step, **{"model_internals/tree_digest": body})
  found = checking.one(step, "tree_digest")
  assert match in found.evidence
  if field.startswith("leaves"):
    assert found.where.endswith("/leaves/agent~1count")
    red = checking.red(step, **RERUN)
    assert {"tree_digest", "tree_digest_recomputed"} <= set(red)


def test_leaves_cannot_be_left_out_or_added(step):
  leaves = dict(sample.passport(step).model_internals.tree_digest.leaves)
  sha = leaves.pop("agent/count")
  for changed, match in (
    (leaves, "leaves in the manifest are not in the passport: agent/count"),
    (
      leaves | {"agent/count": sha, "agent/x": sha},
      "leaves are not there in the manifest: agent/x",
    ),
  ):
    body = {
      "algorithm": "carnet-leaf-sha256-v1",
      "leaf_count": len(changed),
      "root": digest.tree(changed.items()),
      "leaves": changed,
    }
    sample.write(step, **{"model_internals/tree_digest": body})
    assert checking.one(step, "tree_digest").evidence == match


def test_t1_exchanged_arrays_are_found_by_reading_them(step, tmp_path):
  with checkpoint_lib.Checkpoint(tmp_path / "x", verbose=False) as saved:
    params = checkpoint_lib.read(step)["agent"]
    params["params"]["head"]["bias"] += 1
    saved.register("agent", params)
    saved.save(sample.STEP)
  (step / "agent").rename(tmp_path / "before")
  (tmp_path / "x" / step.name / "agent").rename(step / "agent")
  found = checking.one(step, "tree_digest_recomputed", **RERUN)
  assert found.status is outcome.Status.FAIL


def test_t18_weights_that_are_no_numbers_are_found(tmp_path, monkeypatch):
  params = sample.sample_step._params()
  params["head"]["bias"][3] = np.nan
  params["state"]["kernel"][0] = np.inf
  monkeypatch.setattr(sample.sample_step, "_params", lambda: params)
  step = sample.checkpoint(tmp_path)
  sample.write(step)
  found = checking.one(step, "weights_finite_recomputed", **RERUN)
  assert "head/bias has 1 values" in found.evidence
  assert "state/kernel has 5 values" in found.evidence
  assert "agent~1params~1head~1bias" in found.where


def test_health_is_what_was_measured(step):
  base = "model_internals/numerical_health"
  for field, value, check in (
    ("weights_finite", False, "weights_finite"),
    ("n_nan", 1, "health"),
    ("n_inf", 2, "health"),
    ("max_abs_diff", 1e-9, "health"),
    ("max_abs_diff", -1.0, "health"),
  ):
    sample.write(step, **{f"{base}/{field}": value})
    assert checking.red(step, tree.CHECKS) == [check]
  gpu = {f"{base}/max_abs_diff": 1e-6, f"{base}/platform": "gpu"}
  allowed = {"output_spec/smoke_results/determinism/allowed": 1e-6}
  sample.write(step, **gpu)
  assert checking.red(step, tree.CHECKS) == ["health"]
  sample.write(step, **gpu, **allowed)
  assert checking.red(step, tree.CHECKS) == []


def test_arrays_are_read_once_a_run(step, monkeypatch):
  calls = []
  original = recomputed._not_finite
  monkeypatch.setattr(
    recomputed, "_not_finite", lambda x: calls.append(1) or original(x)
  )
  checking.findings(step, **RERUN)
  assert len(calls) == 5


@pytest.fixture
def foreign(tmp_path):
  """Returns a checkpoint that plain Orbax wrote, with a passport."""
  step = sample.checkpoint(tmp_path / "ours")
  made = sample.passport(step)
  arrays = checkpoint_lib.read(step)["agent"]
  leaves = directory.read_manifest(step).leaves
  place = tmp_path / "foreign"
  place.mkdir()
  ocp.PyTreeCheckpointer().save(place / "state", arrays)
  for name in ("config.json", "stats.json", sample.LOG, "assets"):
    (step / name).rename(place / name)
  files = sample.files(place)
  for row in files:
    if row["path"].startswith("state/"):
      row["role"] = "weights"
  shas = {x.path.removeprefix("agent/"): x.sha256 for x in leaves}
  body = made.model_dump(mode="json")
  body["weight_integrity"]["weight_files"] = files
  body["weight_integrity"]["checkpoint_format"] |= {
    "kind": "orbax",
    "item": "state",
    "step": None,
  }
  body["model_internals"]["tree_digest"] |= {
    "leaves": shas,
    "root": digest.tree(shas.items()),
  }
  body["model_internals"]["buffers"][0]["path"] = "state/count"
  path = place / directory.PASSPORT
  passport = schema.Passport.model_validate_json(json.dumps(body))
  path.write_bytes(schema.encode(passport))
  sample.sign(place)
  return place


def test_checkpoints_of_other_programs_are_checked_alike(foreign):
  results = checking.findings(foreign, require_signoff=True)
  states = {n: str(r.status) for n, r in results.items()}
  assert states.pop("manifest_sound") == "not_checked"
  red = [
    f"{n}: {r.finding.evidence}"
    for n, r in results.items()
    if r.status == "fail"
  ]
  assert red == []


def test_arrays_of_other_programs_are_read_and_hashed(foreign):
  red = checking.red(foreign, **RERUN)
  assert red == []
  found = checking.one(foreign, "tree_digest_recomputed", **RERUN)
  assert found.evidence == "5 arrays read and hashed"


def test_t9_arrays_of_others_that_expand_too_much_are_not_read(
  foreign, monkeypatch
):
  """Whatever the passport declares: the headers of the arrays decide."""
  monkeypatch.setattr(byte_budget, "_FREE_BYTES", 0)
  monkeypatch.setattr(byte_budget, "_LARGEST_RATIO", 0)
  found = checking.one(foreign, "tree_digest_recomputed", **RERUN)
  assert found.status is outcome.Status.FAIL
  assert "are too large to read" in found.evidence
