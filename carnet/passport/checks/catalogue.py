"""All checks, in the order in which they run and are told."""

from carnet.passport import outcome
from carnet.passport.checks import (
  contract,
  files,
  identity,
  issues,
  normalization,
  orbax,
  pipeline,
  provenance,
  reference,
  rerun,
  schema,
  signoff,
  smoke,
  tree,
)

CHECKS: tuple[outcome.Check, ...] = (
  *schema.CHECKS,
  *files.CHECKS,
  *orbax.CHECKS,
  *tree.CHECKS,
  *contract.CHECKS,
  *normalization.CHECKS,
  *pipeline.CHECKS,
  *identity.CHECKS,
  *smoke.CHECKS,
  *reference.CHECKS,
  *provenance.CHECKS,
  *issues.CHECKS,
  *rerun.CHECKS,
  *signoff.CHECKS,
)
