"""Every number of DreamerV3, its default and where it comes from.

"Code" is danijar/dreamerv3 at e3f0224 (dreamerv3/configs.yaml, May 2026);
"paper" is Hafner et al., arXiv:2301.04104 and Nature 2025. Files under
`configs/dreamer/` only override. Where code and paper differ, the default is
the code's, and the line says so.
"""

from ml_collections import config_dict

# name: (deter, hidden, classes, depth); units are hidden. Code, `size*`.
PRESETS = {
  "1m": (512, 64, 4, 4),
  "12m": (2048, 256, 16, 16),
  "25m": (3072, 384, 24, 24),
  "50m": (4096, 512, 32, 32),
  "100m": (6144, 768, 48, 48),
  "200m": (8192, 1024, 64, 64),
  "400m": (12288, 1536, 96, 96),
}


def default_config() -> config_dict.ConfigDict:
  """Returns the locked configuration of the code's defaults, at 1m."""
  config = config_dict.create(
    agent="dreamer",  # which family the scripts hand the configuration to
    seed=0,
    # Steps of the policy, of all environments together; the original counts
    # them times the action repeat when it logs, and so does `frames` here.
    total_steps=1_100_000,
    devices=0,  # first so many devices share each batch; 0 takes all
    fsdp=False,  # also split large leaves of the state over the devices
    # Start from a part of another run: stored paths are renamed first, then
    # matched in full.
    from_checkpoint="",
    # Leaves to take. With the critic should come the slow one, which it is held
    # to, and with the actor the range of returns, which scales its advantages.
    from_checkpoint_regex="agent/(params|slow_critic|return_range)/.*",
    from_checkpoint_exclude="",  # leaves of them to leave as initialised
    from_checkpoint_rename=(),  # "pattern => replacement", the first match wins
    batch_size=16,
    batch_length=64,
    replay_context=1,  # steps before a batch that give the first latent
    horizon=333,  # steps; the discount is 1 - 1/333
    contdisc=True,  # the continuation head carries the discount
    imag_length=15,
    repval_loss=True,
    repval_grad=True,  # the replay value loss also trains the world model
    reward_grad=True,
  )
  config.rssm = config_dict.create(
    deter=512,
    hidden=64,
    stoch=32,
    classes=4,
    blocks=8,
    dynlayers=1,
    imglayers=2,
    obslayers=1,
    unimix=0.01,
    free_nats=1.0,
  )
  config.encoder = config_dict.create(
    depth=4, mults=(2, 3, 4, 4), layers=3, units=64, kernel=5
  )
  config.decoder = config_dict.create(
    depth=4,
    mults=(2, 3, 4, 4),
    layers=3,
    units=64,
    kernel=5,
    bspace=8,
    outscale=1.0,
  )
  config.reward = config_dict.create(layers=1, units=64, bins=255, outscale=0.0)
  config.continuation = config_dict.create(layers=1, units=64, outscale=1.0)
  config.actor = config_dict.create(
    layers=3,
    units=64,
    minstd=0.1,
    maxstd=1.0,
    outscale=0.01,
    unimix=0.01,
    # The paper mixes 1 % uniform into discrete actions; the code configures it
    # and no longer applies it (embodied/jax/heads.py, `categorical`).
    apply_unimix=False,
  )
  config.critic = config_dict.create(layers=3, units=64, bins=255, outscale=0.0)
  config.slow_critic = config_dict.create(rate=0.02, every=1)
  config.return_norm = config_dict.create(
    rate=0.01, limit=1.0, low=5.0, high=95.0
  )
  config.behavior = config_dict.create(
    lam=0.95,
    actent=3e-4,
    slowreg=1.0,
    slowtar=False,  # targets from the fast critic
  )
  config.loss_scales = config_dict.create(
    rec=1.0,
    rew=1.0,
    con=1.0,
    dyn=1.0,  # 0.5 in the first version of the paper
    rep=0.1,
    policy=1.0,
    value=1.0,
    repval=0.3,
  )
  config.optimizer = config_dict.create(
    lr=4e-5,
    warmup=1000,
    agc=0.3,
    pmin=1e-3,
    eps=1e-20,
    beta1=0.9,
    beta2=0.999,
    wd=0.0,
    schedule="const",  # "linear": down to a tenth; "cosine": to about 0
    anneal=0,  # steps until then, the warm-up's included
  )
  config.replay = config_dict.create(
    # "host": numpy arrays, kept in chunks. "device": rings in the memory of
    # the accelerator; sampled uniformly, inside the compiled updates.
    memory="host",
    capacity=5_000_000,  # steps
    chunk_size=1024,  # steps of a file
    online=True,  # host: every sequence is also replayed once when it is new
    uniform=1.0,  # host: share of sequences drawn uniformly
    recency=0.0,  # host: share drawn by age
  )
  config.loop = config_dict.create(
    environments=16,
    processes=0,  # that environments step in; 0 is this one
    process_timeout=60.0,  # seconds of a step, then a process is replaced
    max_restarts=10,  # of processes or broken environments; then it stops
    train_ratio=32.0,  # replayed steps for each step of the policy
    # Of the updates that are due, so many run as one compiled program; others
    # one by one.
    updates_per_dispatch=8,
    # For environments written in JAX: environment, replay, acting and updates
    # in one program, of so many steps of each environment.
    compiled=False,
    steps_per_dispatch=16,
  )
  config.environment = environment_config()
  config.evaluation = config_dict.create(
    every_steps=0,  # episodes on environments of their own; 0 is never
    episodes=10,
    first_seed=0,
    # "sample": as the original, whose `mode="eval"` changes nothing; the
    # paper's text leaves it open. "mode": the likeliest action.
    actions="sample",
    max_steps=30_000,  # an episode that is longer ends there, and says so
    video_every_steps=0,  # open-loop predictions; 0 is never
    video_sequences=4,
    video_context=16,  # steps that the model sees before it goes on alone
  )
  config.checkpoint = config_dict.create(
    every_steps=0,  # 0: only by time, and at the end
    every_seconds=900.0,  # the original; 0 is never
    keep_latest=2,
    keep_best=1,  # by evaluation/mean_return
    keep_every_steps=0,  # also keep multiples of this; 0 keeps none
  )
  config.log_every_steps = 1000
  return config.lock()


def environment_config() -> config_dict.ConfigDict:
  """Returns the task, and the options of each suite by its name."""
  config = config_dict.create(
    name="dmc/walker_walk",
    repeat=1,  # frames of an action; 2 in the published curves of DMC
  )
  config.dmc = config_dict.create(
    pixels=False,  # observe one image instead of the vectors
    image_size=64,
    shadows=True,  # as the original draws; without, other and faster images
  )
  config.crafter = config_dict.create(image_size=64, length=10_000)
  config.atari = config_dict.create(
    image_size=96,  # 64 in the published curves and for Atari 100k
    gray=True,
    repeat=4,
    pooling=2,  # frames that the picture is made of
    aggregate="max",
    sticky=True,
    actions="all",  # or "needed"
    lives="unused",  # or "discount", "reset"
    noops=30,  # up to so many frames of nothing at the start
    autostart=False,
    clip_reward=False,
    length=108_000,  # frames
  )
  config.gym = config_dict.create(
    image_size=64,  # images are resized to it; 0 leaves them as they are
    max_steps=0,  # step limit in place of the registered one; 0 keeps it
  )
  return config


def set_size(config: config_dict.ConfigDict, name: str) -> None:
  """Gives the networks the widths of one of `PRESETS`."""
  deter, hidden, classes, depth = PRESETS[name]
  config.rssm.update(deter=deter, hidden=hidden, classes=classes)
  for part in ("encoder", "decoder"):
    config[part].update(depth=depth, units=hidden)
  for part in ("reward", "continuation", "actor", "critic"):
    config[part].units = hidden
