"""T14, T15, T23 to T27, T29: papers, keys, and what a file would have run."""

import json
import subprocess

import checking
import oms_sample
import sample
import threat

from carnet.checkpoint import directory
from carnet.passport import oms

_KEY = oms_sample.private()
_PROGRAMS = (  # settings of git that name one
  *("core.fsmonitor", "core.pager", "core.editor", "diff.external"),
  *("diff.trap.command", "diff.trap.textconv", "core.sshCommand"),
  *("filter.trap.clean", "filter.trap.smudge", "filter.trap.process"),
)
_DATABASE = "agent/_CHECKPOINT_METADATA"


def _twice(name, sealed):
  """Returns a forger: the first key of a JSON file is there once more."""

  def forge(step):
    place = step / name
    text = place.read_text()
    key = text.split('"')[1]
    place.write_text(text.replace("{", f'{{"{key}": "other", ', 1))
    if sealed:
      checking.reseal(step)

  return forge


def _more(step):
  place = step / directory.PASSPORT
  body = json.loads(place.read_text()) | {"kvstore": "https://example.com"}
  place.write_text(json.dumps(body))


def _injected(step):
  def change(body):
    body["kvstore"] = {"driver": "http", "base_url": "https://example.com"}

  threat.edit(step, "agent/_METADATA", change)


def _deep(name, sealed):
  def forge(step):
    (step / name).write_text('{"a":' * 100_000)
    if sealed:
      checking.reseal(step)

  return forge


def _public(step):
  """Signs the step; returns where the public key lies."""
  (step / directory.SIGNATURE).write_bytes(oms.sign(step, _KEY))
  place = step.parents[1] / "key.pub"
  place.write_bytes(oms.public_key(_KEY))
  return place


def _anew(with_key):
  """Returns a forger: other weights, and all digests made to fit."""

  def forge(step):
    place = _public(step)
    with (step / "stats.json").open("a") as file:
      file.write(" ")
    checking.reseal(step)
    return [f"--public-key={place}"] if with_key else None

  return forge


def _another_key(step):
  place = _public(step)
  (step / directory.SIGNATURE).write_bytes(oms.sign(step, oms_sample.private()))
  return [f"--public-key={place}"]


def _old(step):
  return ["--min-signed-utc=2026-06-01T00:00:00Z"]


def _handlers(step):
  def change(body):
    body["item_handlers"] = "antigravity.Handler"

  threat.edit(step, _DATABASE, change)
  return ["--rerun"]


def _agent(step):
  def change(body):
    body |= {"agent": "antigravity:fly", "_target_": "os.system"}

  threat.edit(step, "config.json", change)
  return ["--rerun"]


def _gadget(module, name, *words):
  def forge(step):
    changes = {"class_module": module, "class_name": name}
    sample.write(step, **{f"model_identity/{k}": v for k, v in changes.items()})
    sample.sign(step)
    return list(words)

  return forge


def _repository(step):
  """A deployment repository whose hooks and settings run a program."""
  place, trap = step.parents[1] / "robot", step.parents[1] / "trap"
  place.mkdir()
  (place / "adapter.py").write_text("pass\n")
  (place / ".gitattributes").write_text("* filter=trap diff=trap\n")
  git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com")
  for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
    subprocess.run([*git, *words], cwd=place, check=True)
  trap.write_text(f"#!/bin/sh\ntouch {step.parents[1]}/executed\n")
  trap.chmod(0o755)
  for name in _PROGRAMS:
    subprocess.run(["git", "config", name, str(trap)], cwd=place, check=True)
  for name in ("post-index-change", "post-checkout"):
    hook = place / ".git/hooks" / name
    hook.write_text(trap.read_text())
    hook.chmod(0o755)
  bound = {"deployment_repo": "robot", "deployment_repo_commit": sample.COMMIT}
  (place / "adapter.py").write_text("patched\n")  # a filter would see it
  sample.write(step, **{f"provenance/{k}": v for k, v in bound.items()})
  sample.sign(step)
  return [f"--target-repo={place}"]


CASES = {
  14: (
    threat.Case("key twice", _twice(directory.PASSPORT, False), "json_limits"),
    threat.Case(
      "key twice in metadata",
      _twice("agent/_METADATA", True),
      "orbax_metadata_safe",
    ),
    threat.Case(
      "key twice in the sign-off",
      _twice(directory.SIGNOFF, False),
      "signoff_present",
      threat.UNSIGNED,
    ),
    threat.Case("key that nobody knows", _more, "schema_valid"),
    threat.Case("injected kvstore", _injected, None, threat.HARMLESS),
  ),
  15: tuple(
    threat.Case(f"deep {name}", _deep(name, sealed), red, code)
    for name, sealed, red, code in (
      (directory.PASSPORT, False, "json_limits", threat.REFUSED),
      (directory.SIGNOFF, False, "signoff_present", threat.UNSIGNED),
      ("agent/_METADATA", True, "orbax_metadata_safe", threat.REFUSED),
      ("stats.json", True, "norm_stats_cover_features", threat.REFUSED),
      ("manifest.json", False, "manifest_sound", threat.REFUSED),
    )
  ),
  23: (
    threat.Case(
      "papers anew, without a key",
      _anew(with_key=False),
      None,
      threat.HARMLESS,
      heavy=True,
    ),
    threat.Case(
      "papers anew",
      _anew(with_key=True),
      "signature_valid",
      threat.UNSIGNED,
      heavy=True,
    ),
    threat.Case(
      "another key",
      _another_key,
      "signature_valid",
      threat.UNSIGNED,
      heavy=True,
    ),
  ),
  24: (threat.Case("older sign-off", _old, "signoff_recent", threat.UNSIGNED),),
  25: (
    threat.Case(
      "file exchanged while it was loaded",
      lambda step: None,
      "changed while it was loaded",
      threat.UNUSABLE,
      heavy=True,
      load=True,
    ),
  ),
  26: (
    threat.Case(
      "handlers to import", _handlers, None, threat.HARMLESS, heavy=True
    ),
    threat.Case("agent to import", _agent, None, threat.HARMLESS, heavy=True),
  ),
  27: (
    threat.Case(
      "class to import",
      _gadget("antigravity", "Policy"),
      None,
      threat.HARMLESS,
    ),
    threat.Case(
      "class of a trusted package",
      _gadget("antigravity", "os.system", "--trust-package=antigravity"),
      "model_identity_resolvable",
    ),
    threat.Case(
      "module that leads out",
      _gadget("carnet....etc.passwd", "Policy"),
      "model_identity_resolvable",
    ),
  ),
  29: (
    threat.Case("hooks of a repository", _repository, "deployment_repo_match"),
  ),
}
