"""Where a policy comes from, and the files and proofs that travel with it."""

from typing import Literal

from carnet.passport import fields

Role = Literal[
  "weights",
  "config",
  "norm_stats",
  "metadata",
  "tokenizer",
  "reference",
  "lock",
  "log",
  "training_state",
]


class File(fields.Model):
  """A file that travels with the checkpoint."""

  path: fields.RelativePath
  sha256: fields.Sha256
  size_bytes: fields.Count
  role: Role


class Format(fields.Model):
  """How the arrays are stored; bytes as declared, before decompression."""

  kind: Literal["carnet", "orbax"]
  item: fields.Name
  step: fields.Count | None
  use_ocdbt: bool
  use_zarr3: bool
  declared_array_bytes: fields.Count


class WeightIntegrity(fields.Model):
  """Every file, with its digest."""

  hash_algorithm: Literal["sha256"]
  weight_files: tuple[File, ...]
  checkpoint_format: Format


class Dataset(fields.Model):
  """Demonstrations, or the environment that took their place."""

  id: fields.Name
  revision: fields.Name | None
  loader_class: fields.Name
  split: fields.Text
  kind: Literal["dataset", "environment"]
  env_versions: dict[fields.Name, fields.Name] | None = None


class Run(fields.Model):
  """The run that trained it."""

  run_id: fields.Name | None
  steps: fields.Count | None
  seed: int | None
  started_utc: fields.Utc | None
  finished_utc: fields.Utc | None


class Parent(fields.Model):
  """A checkpoint that this one came from, oldest first."""

  parent_passport_sha256: fields.Sha256 | None
  parent_tree_sha256: fields.Sha256 | None = None
  relation: Literal["resume", "fine_tune", "cast", "reshard", "ema", "import"]
  note: fields.Text


class Provenance(fields.Model):
  """Code, data and run behind the weights, and the repository ahead."""

  training_repo: fields.Text | None
  training_commit: fields.Commit | None
  training_tree_dirty: bool | None
  training_diff_sha256: fields.Sha256 | None = None
  training_package: fields.Text | None = None
  deployment_repo: fields.Text | None
  deployment_repo_commit: fields.Commit | None
  config_sha256: fields.Sha256
  config_path: fields.RelativePath
  run_log_path: fields.Text | None
  training_datasets: tuple[Dataset, ...]
  training_run: Run
  lineage: tuple[Parent, ...]


class ReferenceVector(fields.Model):
  """Real observations, and the actions that the policy answered with.

  `atol` and `rtol` say how closely another machine must agree.
  """

  n_frames: fields.Positive
  source_dataset: fields.Name
  episode: fields.Count
  input_state_path: fields.RelativePath | None
  input_state_hash: fields.Sha256 | None
  input_images_path: fields.RelativePath | None
  input_images_hash: dict[fields.Name, tuple[fields.Sha256, ...]]
  input_prompt: fields.Text | None
  expected_actions_path: fields.RelativePath
  expected_actions_hash: fields.Sha256
  prng_seed: fields.Count
  atol: float
  rtol: float


class RoundTrip(fields.Model):
  """A step of the pipeline undone: how far from where it began."""

  step_index: fields.Count
  max_abs_error: float
  tolerance: float
  within_clip_bound: bool
  status: Literal["pass", "fail"]


class KnownIssue(fields.Model):
  """Something that a consumer must know, and perhaps check."""

  id: fields.Name
  title: fields.Name
  severity: Literal["info", "low", "medium", "high", "blocking"]
  affected: fields.Text
  workaround: fields.Text
  check_type: Literal["code", "human"]
  check_id: fields.Name | None = None
