"""Incidents of weights, releases and verdicts, replayed: each is refused.

As in `test_incidents.py`. The last test counts the rows of the reference's
list of incidents that have a replay.
"""

import ast
import json
import pathlib

import checking
import jax
import numpy as np
import oms_sample
import pytest
import sample
from incidents import alarms

from carnet import checkpoint as checkpoint_lib
from carnet.checkpoint import directory, reader
from carnet.passport import oms, validate_command

# a row each; of several threads in a row one or more are replayed
THREADS = (
  *("dexmal/dexbotic PR 82", "huggingface/lerobot 2980"),
  *("moojink/openvla-oft 135", "Lerobot PR 3249", "Lerobot 1406", "SimVLA 2"),
  *("Lerobot 0.5.0", "strands-labs/robots 985", "strands-labs/robots 513"),
  *("strands-labs/robots 3422", "strands-labs/robots 517", "Lerobot PR 4700"),
  *("Lerobot 1498", "Lerobot 694", "Lerobot PR 17", "octo 14", "openpi 1025"),
  *("drive-any-robot 16", "danijar/dreamerv2 48", "google/orbax 648"),
  *("google/orbax 2540", "jax-ml/jax 18480", "lm-resiliency 78"),
  "sigstore/model-transparency 1.0.1",
)
STATE_DICT = "model_internals/state_dict"


@pytest.fixture(autouse=True)
def sound(step, monkeypatch):
  """Shows that it is the damage that raises the alarm."""
  monkeypatch.delenv("PYTHONPATH", raising=False)  # an alarm of its own
  assert alarms(step) == set()
  assert checking.red(step, require_signoff=True) == []


def test_another_build_of_a_library(step):
  """moojink/openvla-oft 135: 98 % became 60 % without the patched build."""
  version = np.__version__
  required = "model_identity/runtime_constraints/required_versions"
  sample.write(step, **{required: {"numpy": f"=={version}+patched"}})
  assert alarms(step) == {"required_versions"}


def test_a_release_that_breaks_a_family(step):
  """Lerobot PR 3249: transformers 5.4.0 broke it and was pinned away."""
  banned = "model_identity/runtime_constraints/known_incompatible"
  row = {"package": "numpy", "specifier": f"=={np.__version__}"}
  sample.write(step, **{banned: [{**row, "reason": "keys were renamed"}]})
  assert alarms(step) == {"known_incompatible"}


def test_other_random_numbers_from_the_same_key(step, monkeypatch):
  """jax-ml/jax 18480: jax_threefry_partitionable changed its default."""
  config = {
    **{"prng_impl": "threefry2x32", "threefry_partitionable": True},
    **{"x64": False, "matmul_precision": None, "xla_flags": ""},
  }
  path = "model_identity/runtime_constraints/jax_config"
  sample.write(step, **{path: config})
  monkeypatch.delenv("XLA_FLAGS", raising=False)
  monkeypatch.delitem(__import__("sys").modules, "jax", raising=False)
  monkeypatch.setenv("JAX_THREEFRY_PARTITIONABLE", "1")
  assert alarms(step) == set()
  monkeypatch.setenv("JAX_THREEFRY_PARTITIONABLE", "0")
  assert alarms(step) == {"jax_config_match"}


def test_a_loaded_agent_with_constant_actions(step):
  """danijar/dreamerv2 48: the same action whatever it saw."""
  base = "output_spec/smoke_results"
  sample.write(
    step,
    **{
      f"{base}/liveness/min_pairwise_output_diff": 0.0,
      f"{base}/distribution/std": [0.0, 0.0],
    },
  )
  assert alarms(step) == {"smoke_liveness", "smoke_distribution"}


def test_a_version_that_alone_serves(step):
  """SimVLA 2: no success until one release was installed."""
  required = "model_identity/runtime_constraints/required_versions"
  sample.write(step, **{required: {"numpy": f"=={np.__version__}"}})
  assert alarms(step) == set()
  sample.write(step, **{required: {"numpy": "==0.1"}})
  assert alarms(step) == {"required_versions"}


def test_weights_that_a_release_looks_for_elsewhere(step):
  """Lerobot 1406: leaves of another name, a plausible loss, no success."""
  changes = {
    f"{STATE_DICT}/missing_keys": ["agent/params/head/offset"],
    f"{STATE_DICT}/unexpected_keys": ["agent/params/head/bias"],
  }
  sample.write(step, **changes)
  sample.sign(step)
  assert checking.red(step, require_signoff=True) == ["key_counts"]
  told = sample.passport(step).model_internals.tree_digest.leaves
  leaves = {x.replace("/bias", "/offset"): sha for x, sha in told.items()}
  sample.write(step, **{"model_internals/tree_digest/leaves": leaves})
  sample.sign(step)
  assert "tree_digest" in checking.red(step, require_signoff=True)


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("images/0/shape", [96, 96, 3]),
    ("images/0/color", "GRAY"),
    ("images/0/value_range", [0.0, 1.0]),
    ("temporal/action_repeat", 4),
  ],
)
def test_an_environment_set_otherwise(step, field, value):
  """danijar/dreamerv3 175: one configuration scored the minimum."""
  place = step / "config.json"
  found = json.loads((step / directory.PASSPORT).read_text())
  names = ("input_contract", "transform_pipeline")
  told = {name: found[name] for name in names} | {
    "inference_parameters": found["output_spec"]["inference_parameters"],
    "forward_graph": found["model_internals"]["forward_graph"],
    **{"class_name": "Policy", "class_module": "somewhere_else.policy"},
  }
  config = json.loads(place.read_text()) | {"passport": told}
  place.write_text(json.dumps(config))
  sample.write(step)
  assert alarms(step) == set()
  sample.write(step, **{f"input_contract/{field}": value})
  assert "contract_matches_config" in alarms(step)


def test_a_sharding_of_devices_that_are_not_here(step):
  """google/orbax 648, 1110: no damage here, arrays are read without it."""
  assert not list(step.rglob("_sharding"))
  text = '{"sharding_type": "NamedSharding", "shape": [4096]}'
  (step / "agent/_sharding").write_text(text)
  checking.reseal(step)
  assert checking.red(step, rerun=True) == []
  (step / "agent/_sharding").write_text(text + " ")
  assert "weight_hashes" in checking.red(step)


def test_keys_of_random_numbers_are_stored_as_integers(tmp_path):
  """google/orbax 2540: no damage here, where typed ones failed on restore."""
  key = jax.random.key(3)
  with checkpoint_lib.Checkpoint(tmp_path, verbose=False) as saved:
    saved.register("agent", {"rng": key})
    saved.save(1, {})
  (step,) = tmp_path.glob("0*")
  found = directory.read_manifest(step)
  (leaf,) = (x for x in found.leaves if x.path == "agent/rng")
  stored = reader.contents(step, found, ["agent/rng"])["agent/rng"]
  assert (leaf.dtype, stored.dtype) == ("key:threefry2x32", np.uint32)
  np.testing.assert_array_equal(stored, jax.random.key_data(key))


def test_checksums_that_are_asked_for_and_absent(step, capsys):
  """lm-resiliency 78: what was not checked is no pass."""
  words = [str(step), "--strict"]
  assert validate_command.main(words) == 4  # a dataset and more are not here
  gone = {"tree_digest": None, "numerical_health": None}
  sample.write(step, **{f"model_internals/{k}": x for k, x in gone.items()})
  gate = ["weights_finite", "tree_digest", "health"]
  assert set(gate) <= set(checking.red(step, require_signoff=True))
  assert validate_command.main([str(step), "--require-signoff"]) == 1
  sample.write(step, **{"weight_integrity/weight_files": []})
  red = checking.red(step)
  assert {"weight_files_complete", "unlisted_files"} <= set(red)
  capsys.readouterr()


def test_a_failed_verification_never_ends_well(step, tmp_path, capsys):
  """sigstore/model-transparency 1.0.1: it printed success, and exited 0."""
  key, public = oms_sample.private(), tmp_path / "key.pub"
  public.write_bytes(oms.public_key(key))
  place = step / directory.SIGNATURE
  place.write_bytes(oms.sign(step, key))
  words = [str(step), "--require-signoff", f"--public-key={public}"]
  assert validate_command.main(words) == 0
  assert "ship_it" in capsys.readouterr().out
  signature = place.read_bytes()
  for content, code in (
    (signature[:-9], 3),
    (b"", 3),
    (oms.sign(step, oms_sample.private()), 3),
    (None, 3),
  ):
    place.unlink(missing_ok=True)
    if content is not None:
      place.write_bytes(content)
    assert validate_command.main(words) == code
    assert "ship_it" not in capsys.readouterr().out
  place.write_bytes(signature)
  (step / "stats.json").write_text("{}")
  assert validate_command.main(words) == 1
  assert "ship_it" not in capsys.readouterr().out


def test_every_row_is_replayed():
  told = []
  for place in pathlib.Path(__file__).parent.glob("test_incidents*.py"):
    for node in ast.parse(place.read_text()).body:
      if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
        told.append((ast.get_docstring(node) or "").partition(":")[0])
  replays = [text for text in told if text]
  absent = [x for x in THREADS if not any(t.startswith(x) for t in replays)]
  print(f"{len(replays)} incidents, {len(THREADS) - len(absent)} rows")
  assert absent == []
