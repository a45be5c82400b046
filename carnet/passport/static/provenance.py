"""Code, data and run behind a checkpoint, as launched or as the caller says."""

import pathlib
from collections.abc import Mapping
from typing import Any

from carnet import errors, repository, run_context
from carnet.checkpoint import lineage, manifest
from carnet.passport import context, fields, history, shown
from carnet.passport.static import files, given


def provenance(
  found: context.Context,
  told: given.Given,
  config: Mapping[str, Any],
  launch: run_context.Context | None,
) -> history.Provenance:
  """Returns where a checkpoint comes from.

  Raises:
    UserError: a dirty repository ahead, or another commit than was launched.
  """
  code = _training(told, launch)
  target = _clean(told.target_repo, "--target-repo")
  held = found.manifest
  return history.Provenance(
    training_repo=code.remote or code.package,
    training_commit=code.commit,
    training_tree_dirty=code.dirty,
    training_diff_sha256=code.diff_sha256,
    training_package=code.package,
    deployment_repo=_name_of(target, told.target_repo),
    deployment_repo_commit=target.commit if target else None,
    config_sha256=found.digests[files.CONFIG],
    config_path=files.CONFIG,
    run_log_path=launch.run_log if launch else None,
    training_datasets=_datasets(told, launch),
    training_run=history.Run(
      run_id=launch.run_id if launch else None,
      steps=held.step if held else None,
      seed=config["seed"] if isinstance(config.get("seed"), int) else None,
      started_utc=launch.started_utc if launch else None,
      finished_utc=_finished(held),
    ),
    lineage=_lineage(held),
  )


def _training(
  told: given.Given, launch: run_context.Context | None
) -> repository.Repository:
  """Returns the code of the training: as launched, or as the caller says."""
  asked = _clean(told.training_repo, "--training-repo", allow_dirty=True)
  if launch is None or launch.training_repository.commit is None:
    if asked is not None:
      return asked
    return launch.training_repository if launch else repository.Repository()
  recorded = launch.training_repository
  if asked is not None and asked.commit != recorded.commit:
    raise errors.UserError(
      f"--training-repo is at {asked.commit}, the run was launched at "
      f"{recorded.commit}: check that commit out, or leave the flag away"
    )
  return recorded


def _clean(
  path: pathlib.Path | None, flag: str, allow_dirty: bool = False
) -> repository.Repository | None:
  if path is None:
    return None
  found = repository.of_directory(path)
  if found.commit is None:
    raise errors.UserError(f"{flag}={path}: no git repository with a commit")
  if found.dirty and not allow_dirty:
    raise errors.UserError(
      f"{flag}={path} has changes: commit or stash them, the passport binds "
      "the checkpoint to a commit"
    )
  return found


def _name_of(
  found: repository.Repository | None, path: pathlib.Path | None
) -> str | None:
  if found is None or path is None:
    return None
  return found.remote or path.resolve().name


def _datasets(
  told: given.Given, launch: run_context.Context | None
) -> tuple[history.Dataset, ...]:
  if told.dataset_repos:
    return _datasets_given(told)
  return tuple(
    history.Dataset(
      id=row.id,
      revision=row.revision,
      loader_class=row.loader_class or "unknown",
      split=_split(row.split),
      kind=row.kind,
      env_versions={k: v for k, v in row.env_versions.items() if v}
      if row.env_versions
      else None,
    )
    for row in (launch.datasets if launch else ())
  )


def _datasets_given(told: given.Given) -> tuple[history.Dataset, ...]:
  if len(told.loader_classes) != len(told.dataset_repos):
    raise errors.UserError(
      f"{len(told.dataset_repos)} --dataset-repo and "
      f"{len(told.loader_classes)} --loader-class: give one each a dataset"
    )
  rows = []
  for name, loader in zip(told.dataset_repos, told.loader_classes, strict=True):
    identity, _, revision = name.partition("@")
    rows.append(
      history.Dataset(
        id=identity,
        revision=revision or None,
        loader_class=loader,
        split="",
        kind="dataset",
      )
    )
  return tuple(rows)


def _split(split: Mapping[str, Any] | None) -> str:
  if not split:
    return ""
  return ", ".join(f"{name}={value}" for name, value in sorted(split.items()))


def _finished(held: manifest.Manifest | None) -> str | None:
  """Returns when training ended; of an import nobody knows."""
  if held is None:
    return None
  last = held.lineage[-1] if held.lineage else {}
  imported = last.get("relation") == lineage.IMPORT
  is_this_step = imported and last.get("step") == held.step
  return None if is_this_step else held.created_utc


def _lineage(held: manifest.Manifest | None) -> tuple[history.Parent, ...]:
  if held is None:
    return ()
  return tuple(map(_parent, held.lineage))


def _parent(entry: Mapping[str, Any]) -> history.Parent:
  imported = entry.get("relation") == lineage.IMPORT
  digests = {k: v for k, v in entry.items() if k.endswith("sha256")}
  source = entry.get(lineage.TOLD_BY)
  told = f"as {source} says: " if source else ""
  return history.Parent(
    parent_passport_sha256=digests.get("passport_sha256"),
    parent_tree_sha256=digests.get("tree_sha256"),
    relation="import" if imported else "fine_tune",
    note=told + (_imported(entry) if imported else _fine_tuned(entry)),
  )


def _fine_tuned(entry: Mapping[str, Any]) -> str:
  part = {k: entry.get(k) for k in ("components", "regex", "exclude")}
  taken = ", ".join(f"{k} {v}" for k, v in part.items() if v)
  return f"step {entry.get('step')}, {taken or 'all leaves'}"


def _imported(entry: Mapping[str, Any]) -> str:
  files = entry.get("files")
  listed = files.items() if isinstance(files, Mapping) else ()
  rows = "; ".join(f"{name} sha256 {value}" for name, value in listed)
  return shown.cut(
    f"{entry.get('format')}: {entry.get('path')}, step {entry.get('step')}; "
    f"{rows or 'no files'}",
    fields.LARGEST_TEXT - 400,
  )
