"""Code, data and run behind the weights, and the repository ahead of them."""

import re

from carnet import repository, run_context
from carnet.passport import class_source, context, history, outcome
from carnet.passport.checks import identity, launched, parts

_LAUNCH = "train with carnet, or scripts/dump_config.py before generating"
# names of a data hub that move on
_MOVING = ("main", "master", "head", "latest", "dev")
_URL = re.compile(r"https?://[^\s/]+(/\S*)?")


def training_commit_present(found: context.Context) -> outcome.Finding:
  """Pass: a commit, or an installed package, names the code that trained it.

  Fail: neither does.
  """
  told = found.passport.provenance
  if told.training_commit:
    repo = told.training_repo or "a repository without remote"
    return outcome.passed(f"{told.training_commit[:12]} of {repo}")
  if told.training_package:
    return outcome.passed(f"package {told.training_package}")
  return outcome.failed(
    "nobody knows which code trained it",
    "/provenance/training_commit",
    "a commit",
    "null",
    "generate-passport --training-repo PATH; " + _LAUNCH,
  )


def training_tree_clean(found: context.Context) -> outcome.Finding:
  """Pass: the code was that of the commit, from the first step to the last.

  Soft: it had changes, or nobody knows, or a resumption had other code; or
  it lay in no repository, and the digest of its files is all that is known.
  """
  told = found.passport.provenance
  where = "/provenance/training_tree_dirty"
  if told.training_tree_dirty:
    return outcome.failed(
      f"the code had changes beside the commit, diff "
      f"{(told.training_diff_sha256 or 'unknown')[:12]}",
      where,
      "false",
      "true",
      "commit before training",
    )
  if told.training_tree_dirty is None and not told.training_package:
    return outcome.failed(
      "nobody knows whether the code had changes", where, remedy=_LAUNCH
    )
  launch = run_context.read(found.path)
  faults = launched.other_code(told, launch)
  return outcome.first(faults, "no changes beside the commit")


def config_sha(found: context.Context) -> outcome.Finding:
  """Pass: the configuration is the file that the passport pins. Fail: else."""
  told = found.passport.provenance
  present = parts.on_disk(found, told.config_path)
  listed = parts.declared(found).get(told.config_path)
  faults = [
    outcome.failed(
      f"{told.config_path}: {name} {'differs' if x else 'is absent'}",
      "/provenance/config_sha256",
      told.config_sha256,
      x or "nothing",
      "restore the file of the training, or generate the passport again",
    )
    for name, x in (("the file", present), ("the listing", listed))
    if x != told.config_sha256
  ]
  return outcome.first(faults, f"{told.config_path} {told.config_sha256[:12]}")


def run_log_resolvable(found: context.Context) -> outcome.Finding:
  """Pass: the log lies in the checkpoint and is listed.

  Soft: none is named, or it is not there. Not checked: it is a URL, which is
  not opened.
  """
  path = found.passport.provenance.run_log_path
  where = "/provenance/run_log_path"
  if path is None:
    return outcome.failed("no log of the run", where, remedy=_LAUNCH)
  if "://" in path:
    if _URL.fullmatch(path):
      return outcome.not_checked(f"{path} is not opened", "look at it yourself")
    return outcome.failed(
      "neither a path nor an address of the web", where, "http(s)://", path
    )
  sha256 = parts.declared(found).get(path)
  if not path.endswith(".md") or sha256 is None:
    return outcome.failed(
      f"{path} is no listed .md file of the checkpoint",
      where,
      "a listed .md file",
      path,
      parts.GENERATE,
    )
  if parts.on_disk(found, path) != sha256:
    return outcome.failed(f"{path} is not the listed file", where)
  return outcome.passed(path)


def training_datasets_resolvable(found: context.Context) -> outcome.Finding:
  """Pass: data are named with a revision that stays, and a loader.

  Soft: one is not, or an environment without versions; fix it at launch.
  """
  rows = found.passport.provenance.training_datasets
  where = "/provenance/training_datasets"
  if not rows:
    return outcome.failed(
      "nobody knows on what it was trained",
      where,
      remedy="generate-passport --dataset-repo ID@REVISION --loader-class NAME",
    )
  faults = [
    outcome.failed(f"'{row.id}' {why}", f"{where}/{index}", remedy=_LAUNCH)
    for index, row in enumerate(rows)
    for why in _unresolved(row)
  ]
  names = [f"{x.id} {(x.revision or x.kind)[:12]}" for x in rows]
  return outcome.first(faults, ", ".join(names))


def _unresolved(row: history.Dataset) -> list[str]:
  faults = []
  if row.kind == "dataset" and not row.revision:
    faults.append("has no revision")
  if row.revision and row.revision.lower() in _MOVING:
    faults.append(f"has the revision '{row.revision}', which moves")
  if row.kind == "environment" and not (row.env_versions or row.revision):
    faults.append("has no versions of the environment")
  module, _, name = row.loader_class.rpartition(".")
  if not module:
    faults.append(f"has the loader '{row.loader_class}', no dotted path")
  elif module.split(".")[0] in identity.OURS:
    answer = class_source.find(module, name)
    if answer in ("absent", "no module"):
      faults.append(f"has the loader {row.loader_class}, which is not here")
  return faults


def deployment_repo_match(found: context.Context) -> outcome.Finding:
  """Pass: the repository is at the recorded commit, without changes.

  Fail: another commit, changes, a name without a commit or the other way
  round. Not checked: no repository given.
  """
  told, path = found.passport.provenance, found.options.target_repo
  where = "/provenance/deployment_repo_commit"
  if (told.deployment_repo is None) != (told.deployment_repo_commit is None):
    return outcome.failed(
      "of the deployment repository there is a name or a commit, not both",
      where,
      f"a commit of {str(told.deployment_repo)[:100]}",
      str(told.deployment_repo_commit),
      "generate-passport --target-repo PATH, then sign again",
    )
  if path is None:
    if told.deployment_repo_commit:
      return outcome.not_checked(
        "no deployment repository given", "--target-repo PATH"
      )
    return outcome.not_checked(
      "none is recorded", "generate-passport --target-repo PATH"
    )
  if told.deployment_repo_commit is None:
    return outcome.failed(
      "the passport names no deployment repository",
      where,
      "a commit",
      "null",
      f"generate-passport --target-repo {path}, then sign again",
    )
  present = repository.of_directory(path)
  if present.commit != told.deployment_repo_commit:
    return outcome.failed(
      f"{path} is at another commit" if present.commit else f"{path} has none",
      where,
      told.deployment_repo_commit,
      present.commit or "no commit",
      f"git checkout {told.deployment_repo_commit[:12]}, or generate and sign "
      "again",
    )
  if present.dirty is not False:
    return outcome.failed(
      f"{path} has changes beside the commit",
      where,
      "a clean tree",
      f"changes, {present.untracked or 0} unknown files",
      "commit or remove them; then generate and sign again",
    )
  return outcome.passed(f"{path} is at {present.commit[:12]}, clean")


def pretrained_pinned(found: context.Context) -> outcome.Finding:
  """Pass: parts trained elsewhere have a revision or digest that stays.

  Soft: one has not.
  """
  rows = found.passport.model_internals.pretrained_provenance
  faults = [
    outcome.failed(
      f"'{row.submodule}' is of {row.source_identifier}, any revision",
      f"/model_internals/pretrained_provenance/{index}/source_revision",
      "a revision or a sha256",
      row.source_revision or "null",
      "record the revision at launch",
    )
    for index, row in enumerate(rows)
    if row.file_sha256 is None
    and (row.source_revision or _MOVING[0]).lower() in _MOVING
  ]
  return outcome.first(faults, f"{len(rows)} parts trained elsewhere")


def lineage_acyclic(found: context.Context) -> outcome.Finding:
  """Pass: no ancestor is there twice, none is this checkpoint. Fail: else."""
  rows = found.passport.provenance.lineage
  tree = found.passport.model_internals.tree_digest
  seen = {found.passport_sha256: "this passport"}
  faults = []
  for index, row in enumerate(rows):
    name = row.parent_passport_sha256
    if name is not None and name in seen:
      faults.append(
        outcome.failed(
          f"parent {index} is {seen[name]}",
          f"/provenance/lineage/{index}/parent_passport_sha256",
          remedy=parts.GENERATE,
        )
      )
    if name is not None:
      seen[name] = f"parent {index} again"
    own = tree is not None and row.parent_tree_sha256 == tree.root
    if own and row.relation not in ("reshard", "resume", "import"):
      faults.append(
        outcome.failed(
          f"parent {index} has the leaves of this checkpoint",
          f"/provenance/lineage/{index}/parent_tree_sha256",
          remedy=parts.GENERATE,
        )
      )
  return outcome.first(faults, f"{len(rows)} ancestors")


def run_context_agrees(found: context.Context) -> outcome.Finding:
  """Pass: provenance is what the launch, manifest and config.json recorded.

  Fail: a field differs; each is listed. Not checked: nothing was recorded.
  """
  launch = run_context.read(found.path)
  rows = launched.differences(found, launch)
  if rows:
    return parts.differ(rows, "what was recorded at launch")
  if launch is None:
    return outcome.not_checked(
      f"there is no {run_context.NAME}; the manifest agrees"
      if found.manifest
      else f"there is no {run_context.NAME}",
      _LAUNCH,
    )
  return outcome.passed(f"as in {run_context.NAME} and the manifest")


CHECKS = outcome.group(
  "provenance",
  hard=(
    training_commit_present,
    config_sha,
    deployment_repo_match,
    lineage_acyclic,
    run_context_agrees,
  ),
  soft=(
    training_tree_clean,
    run_log_resolvable,
    training_datasets_resolvable,
    pretrained_pinned,
  ),
  needs={"deployment_repo_match": ("repo",)},
)
