"""Values of a configuration that cannot be meant, found before it runs."""

from ml_collections import config_dict

from carnet import config_ranges, errors
from dreamer import experience, learner, policy, run

_POSITIVE = (
  *("total_steps", "batch_size", "batch_length", "horizon", "imag_length"),
  *("replay_context", "log_every_steps"),
  *("rssm.deter", "rssm.hidden", "rssm.stoch", "rssm.classes", "rssm.blocks"),
  *("encoder.depth", "encoder.units", "decoder.depth", "decoder.units"),
  *("reward.bins", "critic.bins", "return_norm.limit", "optimizer.eps"),
  *("replay.capacity", "replay.chunk_size", "loop.environments"),
  *("loop.updates_per_dispatch", "loop.steps_per_dispatch"),
  *("loop.process_timeout", "environment.repeat", "evaluation.episodes"),
  *("evaluation.video_sequences", "evaluation.video_context"),
  *("rssm.dynlayers", "rssm.imglayers", "rssm.obslayers", "encoder.kernel"),
  *("encoder.layers", "decoder.layers", "decoder.kernel", "decoder.bspace"),
  *("reward.layers", "continuation.layers", "actor.layers", "critic.layers"),
  *("reward.units", "continuation.units", "actor.units", "critic.units"),
  *("slow_critic.every", "actor.minstd", "optimizer.pmin"),
  *("checkpoint.keep_latest", "evaluation.max_steps"),
)
_NOT_NEGATIVE = (
  *("seed", "devices", "loop.processes", "loop.max_restarts"),
  *("loop.train_ratio", "optimizer.lr", "optimizer.warmup", "optimizer.agc"),
  *("optimizer.wd", "optimizer.anneal", "behavior.actent", "behavior.slowreg"),
  *("rssm.free_nats", "replay.uniform", "replay.recency"),
  *("evaluation.every_steps", "evaluation.first_seed"),
  *("evaluation.video_every_steps", "checkpoint.every_steps"),
  *("checkpoint.every_seconds", "checkpoint.keep_best"),
  "checkpoint.keep_every_steps",
)
_FRACTIONS = (
  *("rssm.unimix", "actor.unimix", "slow_critic.rate", "return_norm.rate"),
  "behavior.lam",
)
_BELOW_ONE = ("optimizer.beta1", "optimizer.beta2")
_SCHEDULES = ("const", "linear", "cosine")


def check(config: config_dict.ConfigDict) -> None:
  """Refuses a configuration that cannot be trained.

  Raises:
    UserError: it names the key and the value.
  """
  ranges = config_ranges.Ranges(config)
  ranges.finite()
  ranges.positive(*_POSITIVE)
  ranges.not_negative(*_NOT_NEGATIVE)
  for key in _FRACTIONS:
    ranges.require(key, 0 <= ranges.get(key) <= 1, "from 0 to 1")
  for key in _BELOW_ONE:
    ranges.require(key, 0 <= ranges.get(key) < 1, "from 0 to below 1")
  ranges.require("seed", config.seed < 2**31, "below 2**31")
  ranges.require("rssm.classes", config.rssm.classes > 1, "2 or more")
  wider = config.actor.maxstd > config.actor.minstd
  ranges.require("actor.maxstd", wider, "above actor.minstd")
  for key, choices in (
    ("replay.memory", experience.MEMORIES),
    ("evaluation.actions", policy.ACTIONS),
    ("optimizer.schedule", _SCHEDULES),
  ):
    ranges.one_of(key, choices)
  options = config.optimizer
  ends = options.schedule == "const" or options.anneal > options.warmup
  ranges.require("optimizer.anneal", ends, "above optimizer.warmup")
  low, high = config.return_norm.low, config.return_norm.high
  ordered = 0 <= low < high <= 100
  ranges.require("return_norm.low", ordered, "a percentile below `high`")
  share = config.replay.uniform + config.replay.recency
  whole = abs(share - 1) < 1e-6
  ranges.require("replay.uniform", whole, "1 together with replay.recency")
  blocks = config.rssm.blocks
  whole = config.rssm.deter % blocks == 0
  ranges.require("rssm.deter", whole, f"a multiple of rssm.blocks={blocks}")
  odd = config.reward.bins % 2 == 1 and config.critic.bins % 2 == 1
  ranges.require("reward.bins", odd, "odd, like critic.bins")
  seen = config.evaluation.video_context
  ranges.require(
    "evaluation.video_context",
    seen < config.batch_length or not config.evaluation.video_every_steps,
    f"below batch_length={config.batch_length}",
  )
  if config.replay.memory == "device" and config.devices > 1:
    raise errors.UserError(
      f"config.replay.memory='device' is the memory of one device: set "
      f"config.devices=1, not {config.devices}, or replay.memory='host'"
    )
  _check_capacity(config)
  _check_begins(config)


def check_spaces(config: config_dict.ConfigDict, spec: learner.Spec) -> None:
  """Refuses observations that the networks of this configuration cannot take.

  Raises:
    UserError: it names the observation, or the key and the value.
  """
  spaces = {**spec.observations, **spec.actions}
  empty = [name for name, space in spaces.items() if not space.size]
  if empty or not spec.observations or not spec.actions:
    raise errors.UserError(
      f"the environment shows or takes nothing: {empty or 'no keys'}"
    )
  sizes = {x.shape[:2] for x in spec.observations.values() if x.is_image}
  if not sizes:
    return
  for part in ("encoder", "decoder"):
    cells = 2 ** len(config[part].mults)
    if len(sizes) > 1 or any(n % cells for n in next(iter(sizes))):
      raise errors.UserError(
        f"images of {sorted(sizes)}: config.{part}.mults={config[part].mults} "
        f"needs one size for all, a multiple of {cells}"
      )
  blocks, last = config.decoder.bspace, config.decoder.mults[-1]
  fine = config.rssm.deter % blocks == 0 == config.decoder.depth * last % blocks
  ranges = config_ranges.Ranges(config)
  both = "a divisor of rssm.deter and of decoder.depth times the last of mults"
  ranges.require("decoder.bspace", fine, both)


def _check_capacity(config: config_dict.ConfigDict) -> None:
  """The data of a first batch must fit, whatever is evicted."""
  count, chunk = config.loop.environments, config.replay.chunk_size
  needed = run.steps_before_training(config)
  least = count * needed
  if not config.loop.compiled:
    # rings lose single steps, the host's memory whole chunks
    length = config.batch_length + config.replay_context
    least = count * (max(needed, chunk, length) + chunk + 1)
  if config.replay.capacity < least:
    raise errors.UserError(
      f"config.replay.capacity={config.replay.capacity}: {count} environments "
      f"and batches of {config.batch_size} x {config.batch_length} need at "
      f"least {least} steps"
      + ("" if config.loop.compiled else ", or a smaller replay.chunk_size")
    )


def _check_begins(config: config_dict.ConfigDict) -> None:
  """A run must be longer than what the first batch is drawn from."""
  loop, steps = config.loop, run.steps_before_training(config)
  if loop.compiled:  # whole dispatches
    steps += -steps % loop.steps_per_dispatch
  first = steps * loop.environments
  if loop.train_ratio and config.total_steps <= first:
    raise errors.UserError(
      f"config.total_steps={config.total_steps} is no more than the {first} "
      f"steps that come before the first update: {loop.environments} "
      f"environments and batches of {config.batch_size} x "
      f"{config.batch_length}; train for longer, or make batches smaller"
    )
