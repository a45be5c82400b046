"""The manifest: sealed, of this step, and what the passport says of it."""

import os

import checking
import pytest
import sample

from carnet.checkpoint import directory, manifest
from carnet.passport import outcome


def test_the_manifest_must_be_sealed_and_say_what_the_passport_says(step):
  path = step / manifest.NAME
  path.write_text(path.read_text().replace('"loss": 0.25', '"loss": 0.05'))
  assert "was altered" in checking.one(step, "manifest_sound").evidence
  path.unlink()
  assert "is not there" in checking.one(step, "manifest_sound").evidence


def test_the_manifest_of_another_step_is_found(step):
  other = step.with_name(directory.step_name(sample.STEP + 1))
  os.rename(step, other)
  found = checking.one(other, "manifest_sound")
  assert "is of step 30: it was renamed or swapped" in found.evidence
  os.rename(other, step.with_name("robot"))
  renamed = step.with_name("robot")
  assert "manifest_sound" not in checking.red(renamed)
  checking.reseal(renamed, lambda body: body.update(step=31))
  found = checking.one(renamed, "manifest_sound")
  assert (found.expected, found.found) == ("30", "31")


def test_files_have_one_digest_in_manifest_and_passport(step):
  (step / "stats.json").write_text("{}")
  sample.write(step)
  found = checking.one(step, "manifest_sound")
  assert found.evidence.startswith("stats.json has another size or digest")


def test_the_format_is_told_as_it_is(step):
  for field, value, check in (
    ("kind", "orbax", "manifest_sound"),
    ("step", 29, "manifest_sound"),
    ("step", None, "manifest_sound"),
    ("item", "loop", "orbax_metadata_safe"),
    ("item", "../agent", "orbax_metadata_safe"),
    ("item", ".", "tree_shapes_dtypes"),
  ):
    pointer = f"weight_integrity/checkpoint_format/{field}"
    sample.write(step, **{pointer: value})
    assert check in checking.red(step), (field, value)


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"missing_keys": ["a"], "expected_keys_count": 6}, "1 leaves are missing"),
    (
      {"unexpected_keys": ["b"], "expected_keys_count": 4},
      "1 leaves are unexpected: b",
    ),
    ({"shape_mismatch": ["c"]}, "of another shape: c"),
    ({"dtype_mismatch": list("defgh")}, "dtype: d, e, f and 2 more"),
    ({"expected_keys_count": 6}, "the counts contradict"),
    (
      {"found_keys_count": 4, "expected_keys_count": 4},
      "5 leaves are stored, 4 were found",
    ),
  ],
)
def test_leaves_are_as_many_as_expected_and_stored(step, changes, match):
  base = "model_internals/state_dict"
  sample.write(step, **{f"{base}/{k}": v for k, v in changes.items()})
  assert match in checking.one(step, "key_counts").evidence


def test_what_the_passport_does_not_tell_is_not_checked_unless_signed(step):
  fields = {
    "state_dict": "key_counts",
    "parameters": "param_totals",
    "tree_digest": "tree_digest",
    "numerical_health": "health",
  }
  sample.write(step, **{f"model_internals/{k}": None for k in fields})
  for name in fields.values():
    free = checking.one(step, name)
    assert free.status is outcome.Status.NOT_CHECKED
    assert "generate-passport" in free.remedy
    gate = checking.one(step, name, require_signoff=True)
    assert gate.status is outcome.Status.FAIL
