"""The model's class, versions, JAX's settings, and the surroundings."""

import importlib.metadata
import pathlib
import sys

import checking
import numpy as np
import pytest
import sample

from carnet.passport.checks import identity, surroundings

BASE = "model_identity"
CONSTRAINTS = f"{BASE}/runtime_constraints"
JAX = {
  **{"prng_impl": "threefry2x32", "threefry_partitionable": True},
  **{"x64": False, "matmul_precision": None, "xla_flags": ""},
}
VARIABLES = (
  *("JAX_DEFAULT_PRNG_IMPL", "JAX_THREEFRY_PARTITIONABLE", "JAX_ENABLE_X64"),
  *("JAX_DEFAULT_MATMUL_PRECISION", "XLA_FLAGS"),
)


def red(step, **options):
  return checking.red(step, identity.CHECKS, **options)


def one(step, name, **options):
  return checking.findings(step, identity.CHECKS, **options)[name]


@pytest.fixture(autouse=True)
def clean(monkeypatch):
  """Tests have a PYTHONPATH, and a JAX, of their own."""
  monkeypatch.delenv("PYTHONPATH", raising=False)
  monkeypatch.delitem(sys.modules, "jax", raising=False)
  for name in VARIABLES:
    monkeypatch.delenv(name, raising=False)


def test_the_sample_is_green(step):
  assert red(step) == []


def test_a_class_of_ours_is_found_without_importing_it(step, monkeypatch):
  monkeypatch.delitem(sys.modules, "act.model", raising=False)
  sample.write(
    step, **{f"{BASE}/class_name": "ACT", f"{BASE}/class_module": "act.model"}
  )
  assert one(step, "model_identity_resolvable").status == "pass"
  assert "act.model" not in sys.modules


@pytest.mark.parametrize(
  ("module", "name"),
  [
    ("act.model", "DETR"),
    ("act.nothing", "ACT"),
    ("act..model", "ACT"),
    ("act.train", "train"),
  ],
)
def test_a_class_that_is_not_there(step, module, name):
  sample.write(
    step, **{f"{BASE}/class_name": name, f"{BASE}/class_module": module}
  )
  assert red(step) == ["model_identity_resolvable"]


def test_only_trusted_packages_are_looked_at(step, tmp_path, monkeypatch):
  package = tmp_path / "trap"
  package.mkdir()
  (package / "__init__.py").write_text("raise SystemExit('imported')\n")
  (package / "policy.py").write_text("class Policy: ...\n")
  monkeypatch.syspath_prepend(tmp_path)
  sample.write(step, **{f"{BASE}/class_module": "trap.policy"})
  assert one(step, "model_identity_resolvable").status == "not_checked"
  trusted = one(step, "model_identity_resolvable", trust_packages=("trap",))
  assert trusted.status == "pass"
  assert "trap" not in sys.modules
  sample.write(
    step, **{f"{BASE}/class_module": "trap.policy", f"{BASE}/class_name": "P"}
  )
  assert red(step, trust_packages=("trap",)) == ["model_identity_resolvable"]


def test_a_trusted_package_that_is_not_installed(step):
  found = one(
    step, "model_identity_resolvable", trust_packages=("somewhere_else",)
  )
  assert found.status == "not_checked"


@pytest.mark.parametrize(
  ("required", "status"),
  [
    ({"numpy": f"=={np.__version__}"}, "pass"),
    ({"numpy": ">=1.0", "python": ">=3.11"}, "pass"),
    ({"numpy": "<1.0"}, "fail"),
    ({"numpy": "the latest"}, "fail"),
    ({"numpy": ">=1.0", "no-such-package": "==1"}, "not_checked"),
    ({"numpy": "<1.0", "no-such-package": "==1"}, "fail"),
    ({"python": "==2.7.*"}, "fail"),
  ],
)
def test_required_versions(step, required, status):
  sample.write(step, **{f"{CONSTRAINTS}/required_versions": required})
  assert one(step, "required_versions").status == status


@pytest.mark.parametrize(
  ("specifier", "status"),
  [(">=1.0", "fail"), ("<1.0", "pass"), ("broken", "fail")],
)
def test_known_incompatible(step, specifier, status):
  row = {"package": "numpy", "specifier": specifier, "reason": "it is slow"}
  sample.write(step, **{f"{CONSTRAINTS}/known_incompatible": [row]})
  found = one(step, "known_incompatible")
  assert found.status == status


def test_no_constraints_are_not_a_pass(step):
  sample.write(step, **{CONSTRAINTS: None})
  for name in ("required_versions", "known_incompatible", "jax_config_match"):
    assert one(step, name).status == "not_checked"


@pytest.mark.parametrize(
  ("variable", "value", "field"),
  [
    ("JAX_ENABLE_X64", "1", "x64"),
    ("JAX_THREEFRY_PARTITIONABLE", "false", "threefry_partitionable"),
    ("JAX_DEFAULT_PRNG_IMPL", "rbg", "prng_impl"),
    ("JAX_DEFAULT_MATMUL_PRECISION", "bfloat16", "matmul_precision"),
    ("XLA_FLAGS", "--xla_cpu_enable_fast_math=true", "xla_flags"),
  ],
)
def test_each_setting_of_jax(step, monkeypatch, variable, value, field):
  sample.write(step, **{f"{CONSTRAINTS}/jax_config": JAX})
  assert one(step, "jax_config_match").status == "pass"
  monkeypatch.setenv(variable, value)
  found = one(step, "jax_config_match").finding
  assert found.status == "fail"
  assert found.where.endswith(f"/{field}")
  assert found.remedy


def test_flags_that_change_no_number(step, monkeypatch):
  sample.write(step, **{f"{CONSTRAINTS}/jax_config": JAX})
  flag = "--xla_force_host_platform_device_count=8"
  monkeypatch.setenv("XLA_FLAGS", flag)
  assert one(step, "jax_config_match").status == "pass"


def test_a_setting_that_only_a_program_can_make(step):
  sample.write(step, **{f"{CONSTRAINTS}/jax_config": JAX | {"x64": True}})
  found = one(step, "jax_config_match")
  assert found.status == "not_checked"
  assert "JAX_ENABLE_X64=True" in found.finding.remedy


def test_the_running_jax_is_asked(step, monkeypatch):
  class Config:
    jax_default_prng_impl = "threefry2x32"
    jax_threefry_partitionable = False
    jax_enable_x64 = False
    jax_default_matmul_precision = None

  fake = type(sys)("jax")
  fake.config = Config()
  monkeypatch.setitem(sys.modules, "jax", fake)
  sample.write(step, **{f"{CONSTRAINTS}/jax_config": JAX})
  found = one(step, "jax_config_match").finding
  assert found.status == "fail"
  assert "threefry_partitionable is False" in found.evidence


def test_versions_of_the_measurement(step):
  sample.write(step, **{f"{BASE}/library_versions": {"numpy": "0.1"}})
  found = one(step, "env_lock_match")
  assert found.status == "soft"
  assert "0.1 was measured" in found.finding.evidence
  sample.write(step, **{f"{BASE}/library_versions": {"no-such": "1"}})
  assert one(step, "env_lock_match").status == "not_checked"


def test_the_lock_file_of_the_deployment(step, tmp_path):
  (tmp_path / "requirements.lock").write_text("jax==0.1\n")
  sample.write(step, **{f"{BASE}/environment/lock_file_sha256": "0" * 64})
  assert one(step, "env_lock_match").status == "pass"
  found = one(step, "env_lock_match", target_repo=tmp_path)
  assert found.status == "soft"


@pytest.mark.parametrize(
  "changes",
  [
    {"library_versions": None},
    {"library_versions": {}},
    {"library_versions": {"numpy": "yesterday's"}},
    {"library_versions": {"python": "3.9.1"}},
  ],
)
def test_versions_are_recorded(step, changes):
  sample.write(step, **{f"{BASE}/{k}": x for k, x in changes.items()})
  assert red(step) == ["versions_recorded"]


def test_our_families_record_what_computes(step):
  sample.write(step, family="act")
  found = one(step, "versions_recorded").finding
  assert "jax" in found.evidence


def test_a_python_path_is_a_soft_signal(step, monkeypatch, tmp_path):
  monkeypatch.setenv("PYTHONPATH", str(tmp_path))
  found = one(step, "env_contamination")
  assert found.status == "soft"
  assert str(tmp_path) in found.finding.evidence
  expected = one(step, "env_contamination", target_repo=tmp_path)
  assert expected.status == "pass"


def test_what_python_executes_at_its_start(tmp_path):
  (tmp_path / "distutils-precedence.pth").write_text("import os\n")
  (tmp_path / "_editable_impl_x.pth").write_text("/somewhere\n")
  assert list(surroundings.faults({}, (), (tmp_path,))) == []
  (tmp_path / "helper.pth").write_text("import helper; helper.patch()\n")
  found = list(surroundings.faults({"PYTHONHOME": "/x"}, (), (tmp_path,)))
  assert found == [
    "PYTHONHOME is set",
    "helper.pth runs code whenever Python starts",
  ]


def test_the_package_that_compares_versions_is_a_dependency_of_ours():
  text = pathlib.Path(__file__).parents[4] / "pyproject.toml"
  assert '"packaging>=' in text.read_text()
  assert importlib.metadata.version("packaging")
