"""Every number of ACT, its default and where it comes from.

"Paper" is Zhao et al. 2023, "Learning Fine-Grained Bimanual Manipulation with
Low-Cost Hardware", tables of hyper-parameters; "LeRobot" is huggingface/lerobot
`policies/act/configuration_act.py`. Files under `configs/act/` only override.
"""

from ml_collections import config_dict


def default_config() -> config_dict.ConfigDict:
  """Returns the locked paper configuration for one 480x640 camera."""
  config = config_dict.create(
    agent="act",  # which family the scripts hand the configuration to
    seed=0,
    total_steps=100_000,  # LeRobot; the paper runs 2000 epochs of 5 steps
    batch_size=8,  # paper
    devices=0,  # first so many devices share each batch; 0 takes all
    fsdp=False,  # also split large leaves of the state over the devices
    # Start from a part of another run, of an Orbax checkpoint or of a
    # .safetensors file: stored paths are renamed first, then matched in full.
    from_checkpoint="",
    from_checkpoint_regex="agent/(params|buffers)/.*",  # leaves to take
    from_checkpoint_exclude="",  # leaves of them to leave as initialised
    from_checkpoint_rename=(),  # "pattern => replacement", the first match wins
  )
  config.environment = config_dict.create(
    name="aloha/transfer_cube",  # "" where there is no simulator
    cameras=("top",),
    height=480,
    width=640,
    renderer="gl",  # or "raycast", which needs no GL; never mix their images
    shadows=False,  # the original renders shadows; 2 to 6 times slower
    msaa_samples=0,  # the scene asks for 4
    max_steps=400,  # gym-aloha registers 300, too few for insertion
  )
  config.dataset = config_dict.create(
    # a directory that collect_demos or convert cache wrote, "lerobot:PATH",
    # "lerobot:user/name@revision", "hdf5:PATH" or "rlds:PATH"
    path="",
    episodes=0,  # use the first so many episodes; 0 means all
    exclude_episodes=(),  # numbers of episodes to leave out
    cameras=("top",),  # the policy's names, in its order; ("*",) is all
    state="qpos",  # the vector that the policy sees; "" is none
    environment_state="",  # the same, of the environment
    # "name in the data => the policy's"; otherwise "observation.images.top" is
    # "top" and "observation.state" is "state"
    rename=(),
    skip_bad_episodes=False,  # leave unsound episodes out, instead of an error
    # "frames": every frame is a start (LeRobot); "episodes": one random start
    # per episode per epoch (the original)
    sampling="frames",
    validation_fraction=0.2,  # of the episodes; the original splits 80/20
    workers=0,  # Grain worker processes; 0 decodes in threads of this process
  )
  config.model = config_dict.create(
    chunk_size=100,  # paper
    width=512,  # paper: hidden dimension
    heads=8,
    feedforward=3200,
    activation="relu",  # or "gelu"
    dropout=0.1,
    pre_norm=False,
    encoder_layers=4,
    # The original builds 7 and uses the output of the first:
    # https://github.com/tonyzhaozh/act/issues/25
    decoder_layers=1,
    use_vae=True,
    latent_size=32,
    vae_encoder_layers=4,
    backbone="resnet18",  # "resnet34", "resnet50", or "small" (quickstart)
    backbone_widths=(64, 128, 256, 512),  # channels of the four stages
    # "frozen": batch norms are constants, right only for pretrained weights
    # (LeRobot, original). "group": trainable group norm, for training from
    # scratch, where frozen identity norms would leave the net unnormalised.
    backbone_norm="group",
    # local .safetensors, or a torchvision .pth read as tensors only; needs
    # backbone_norm="frozen"
    backbone_weights="",
    replace_final_stride_with_dilation=False,
    n_action_steps=100,  # actions executed of each chunk before a new query
    # Average the predictions of all past chunks with weights exp(-m i), i = 0
    # the oldest; queries every step. The paper's choice, m = 0.01.
    temporal_ensemble=False,
    temporal_ensemble_coefficient=0.01,
  )
  config.normalization = config_dict.create(
    # whose statistics: "data", or "parent", those of config.from_checkpoint,
    # which its weights were trained with
    source="data",
    state="mean_std",  # or min_max, quantiles, quantile10, identity
    action="mean_std",
    images="imagenet",  # mean_std of ImageNet, or any of the above
    epsilon=1e-8,  # LeRobot: (x - mean) / (std + epsilon)
    # Joints that hardly move are not amplified: the original clips the
    # standard deviation below at 0.01, LeRobot does not.
    minimum_std=0.01,
  )
  config.loss = config_dict.create(
    kl_weight=10.0,  # paper: beta
    # "valid": mean absolute error over unpadded elements (LeRobot >= 0.6);
    # "all": padded elements count as zeros (the original, LeRobot <= 0.5)
    reduction="valid",
  )
  config.optimizer = config_dict.create(
    learning_rate=1e-5,  # paper
    backbone_learning_rate=1e-5,
    weight_decay=1e-4,  # on every parameter, biases and norms included
    beta1=0.9,
    beta2=0.999,
    epsilon=1e-8,
    clip_norm=10.0,  # LeRobot; the original does not clip
    warmup_steps=0,
    # "constant" (original) or "cosine" down to final_fraction
    schedule="constant",
    final_fraction=0.01,
  )
  # Applied on the device to the uint8 images of a training batch; ranges are
  # LeRobot's `dataset.image_transforms`, which are off by default there too.
  config.augmentation = config_dict.create(
    max_transforms=0,  # at most so many of the below per image; 0 is off
    brightness=(0.8, 1.2),
    contrast=(0.8, 1.2),
    saturation=(0.5, 1.5),
    hue=(-0.05, 0.05),
    sharpness=(0.5, 1.5),
    affine_degrees=5.0,
    affine_translate=0.05,  # fraction of the image
    crop=1.0,  # random crop of this fraction, scaled back; 1 is off
  )
  config.evaluation = config_dict.create(
    every_steps=10_000,  # simulated evaluation during training; 0 is never
    episodes=50,
    first_seed=0,  # demonstrations use seeds from 1000 on
    video_camera="angle",  # for people to look at; the policy need not have it
    validation_every_steps=1_000,
    validation_batches=16,
  )
  config.checkpoint = config_dict.create(
    every_steps=5_000,  # 0: only the end, and whenever best was measured
    every_seconds=0.0,  # also after so much time without a save; 0 is never
    keep_latest=2,
    keep_best=1,  # by evaluation/success_rate, or validation/l1 without it
    keep_every_steps=0,  # also keep multiples of this; 0 keeps none
  )
  config.log_every_steps = 100
  return config.lock()
