"""Which model it is, what is inside, and how it behaved."""

from typing import Literal

import pydantic

from carnet.passport import contract, fields

Status = Literal["pass", "fail"]


class KnownIncompatible(fields.Model):
  """Versions of a package that break the policy."""

  package: fields.Name
  specifier: fields.Name
  reason: fields.Text


class JaxConfig(fields.Model):
  """Settings that change numbers, above all the random ones."""

  prng_impl: fields.Name
  threefry_partitionable: bool
  x64: bool
  matmul_precision: fields.Name | None
  xla_flags: fields.Text


class RuntimeConstraints(fields.Model):
  """What must hold wherever the policy runs: PEP 440 specifiers by package."""

  required_versions: dict[fields.Name, fields.Name]
  known_incompatible: tuple[KnownIncompatible, ...] = ()
  jax_config: JaxConfig | None


class Environment(fields.Model):
  """Where the dynamic part was measured."""

  python: fields.Name
  platform: fields.Name
  device_kind: fields.Name
  lock_file_sha256: fields.Sha256 | None = None
  image_digest: fields.Text | None = None


class ModelIdentity(fields.Model):
  """The class of the model, and the versions of then and for ever.

  `library_versions` is history, `runtime_constraints` the contract.
  """

  class_name: fields.Name | None
  class_module: fields.Name | None
  library_versions: dict[fields.Name, fields.Name] | None
  runtime_constraints: RuntimeConstraints | None
  environment: Environment | None


class Parameters(fields.Model):
  """Counts over the parameters; `frozen` ones are never updated."""

  total_params: fields.Count
  trainable: fields.Count
  frozen: fields.Count
  bytes: fields.Count
  dtype_breakdown: dict[fields.Name, fields.Count]


class Buffer(fields.Model):
  """An array beside the parameters that acting needs."""

  path: fields.RelativePath
  shape: fields.Shape
  dtype: fields.Name
  collection: fields.Name


class StateDict(fields.Model):
  """Stored leaves against those that the model's own code expects."""

  expected_keys_count: fields.Count
  found_keys_count: fields.Count
  missing_keys: tuple[fields.Name, ...]
  unexpected_keys: tuple[fields.Name, ...]
  shape_mismatch: tuple[fields.Name, ...] = ()
  dtype_mismatch: tuple[fields.Name, ...]


class TreeDigest(fields.Model):
  """Identity of the content, whatever the files look like.

  sha256 over the sorted (path, leaf digest) pairs of `leaves`, a leaf's over
  dtype, shape and little-endian C-order bytes: `carnet.checkpoint.digest`.
  """

  algorithm: Literal["carnet-leaf-sha256-v1"]
  leaf_count: fields.Count
  root: fields.Sha256
  leaves: dict[fields.Name, fields.Sha256]


class NumericalHealth(fields.Model):
  """Two forwards with one seed, and a look at every weight."""

  max_abs_diff: float
  n_nan: fields.Count
  n_inf: fields.Count
  weights_finite: bool
  platform: fields.Name


class Pretrained(fields.Model):
  """A part that was trained elsewhere."""

  submodule: fields.Name
  source_identifier: fields.Name
  source_revision: fields.Name | None
  file_sha256: fields.Sha256 | None = None


class ForwardGraph(fields.Model):
  """Arrays in and out of one query, without a batch axis."""

  inputs: dict[fields.Name, contract.Array]
  outputs: dict[fields.Name, contract.Array]


class ModelInternals(fields.Model):
  """What is inside."""

  module_hierarchy: dict[fields.Name, dict[fields.Name, fields.Count]] | None
  parameters: Parameters | None
  buffers: tuple[Buffer, ...] | None
  state_dict: StateDict | None
  tree_digest: TreeDigest | None
  numerical_health: NumericalHealth | None
  pretrained_provenance: tuple[Pretrained, ...]
  forward_graph: ForwardGraph | None


class Determinism(fields.Model):
  """The same key, observation and program, again and again."""

  n_runs: fields.Positive
  prng_seed: fields.Count
  prng_impl: fields.Name
  max_abs_diff: float
  allowed: float = 0.0
  platform: fields.Name
  status: Status


class NanInf(fields.Model):
  """Values that are no numbers, in outputs and in the carry."""

  n_values: fields.Count
  n_nan: fields.Count
  n_inf: fields.Count
  checked: tuple[fields.Name, ...]
  status: Status


class Liveness(fields.Model):
  """Every input moves the output; `input_sensitivity` is by how much."""

  n_inputs: fields.Count
  min_pairwise_output_diff: float
  dead_output_dims: tuple[fields.Count, ...]
  input_sensitivity: dict[fields.Name, float]
  status: Status


class Distribution(fields.Model):
  """Outputs on calibration inputs beside the actions of the data."""

  n_samples: fields.Positive
  mean: fields.Numbers
  std: fields.Numbers
  min: fields.Numbers
  max: fields.Numbers
  reference_mean: fields.Numbers | None
  reference_std: fields.Numbers | None
  max_z: float | None
  allowed_z: float
  status: Status


class RangeCheck(fields.Model):
  """Outputs against bounds that the model or the data declare."""

  bound_source: Literal["action_space", "clip_value", "action_stats"]
  low: fields.Numbers
  high: fields.Numbers
  n_violations: fields.Count
  worst: float
  status: Status


class SmokeResults(fields.Model):
  """The five buckets, measured through the deployment's own entry point."""

  entry_point: fields.Name
  calibration_seed: fields.Count
  determinism: Determinism
  nan_inf: NanInf
  liveness: Liveness
  distribution: Distribution
  range_check: RangeCheck


class OutputSpec(fields.Model):
  """How actions are chosen and executed, and what smoke tests found."""

  inference_parameters: dict[fields.Name, pydantic.JsonValue]
  smoke_results: SmokeResults | None
