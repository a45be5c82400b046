"""Runs some checks on a step, and tells which turned red."""

import json

import sample

from carnet import errors
from carnet.checkpoint import digest, manifest
from carnet.passport import context, outcome
from carnet.passport.checks import files, orbax, schema, signoff, tree

STATIC = (
  *schema.CHECKS,
  *files.CHECKS,
  *orbax.CHECKS,
  *tree.CHECKS,
  *signoff.CHECKS,
)


def findings(step, checks=STATIC, **options):
  """Returns check -> result of those that can run here."""
  found = context.Context(step, context.Options(**options))
  results = {}
  for check in checks:
    if "rerun" in check.needs and not found.options.rerun:
      continue
    try:
      finding = check.run(found)
    except errors.UserError as error:
      finding = outcome.failed(str(error))
    results[check.id] = outcome.Result(check, finding)
  return results


def red(step, checks=STATIC, **options):
  """Returns the names of the checks that fail."""
  results = findings(step, checks, **options)
  return [n for n, r in results.items() if r.status is outcome.Status.FAIL]


def one(step, name, **options):
  """Returns what a check finds."""
  checks = [check for check in STATIC if check.id == name]
  return findings(step, checks, **options)[name].finding


def reseal(step, change=lambda body: None):
  """Writes manifest, passport and sign-off of a step whose files changed."""
  path = step / manifest.NAME
  body = json.loads(path.read_bytes())
  for row in body["files"]:
    place = step / row["path"]
    row |= {"size_bytes": place.stat().st_size, "sha256": digest.file(place)}
  change(body)
  del body["sha256"]
  path.write_bytes(manifest.seal(body))
  sample.write(step)
  sample.sign(step)
