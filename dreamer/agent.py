"""The seven trained networks of DreamerV3, in one module."""

from flax import nnx
from jaxtyping import Array, Float
from ml_collections import config_dict

from dreamer import codec, heads, rssm
from dreamer import spaces as spaces_lib


class Agent(nnx.Module):
  """World model, actor and critic; attribute names are parameter paths."""

  def __init__(
    self,
    config: config_dict.ConfigDict,
    observations: spaces_lib.Spaces,
    actions: spaces_lib.Spaces,
    rngs: nnx.Rngs,
  ) -> None:
    self._actions = nnx.static(dict(actions))
    self.encoder = codec.Encoder(config.encoder, observations, rngs)
    self.rssm = rssm.RSSM(
      config.rssm,
      spaces_lib.vector_size(actions),
      self.encoder.token_size,
      rngs,
    )
    deter, stoch = config.rssm.deter, config.rssm.stoch * config.rssm.classes
    self.decoder = codec.Decoder(
      config.decoder, observations, deter, stoch, rngs
    )
    feature = deter + stoch
    self.reward = heads.TwoHotHead(feature, config.reward, rngs)
    self.continuation = heads.BinaryHead(feature, config.continuation, rngs)
    self.actor = heads.Actor(feature, config.actor, actions, rngs)
    self.critic = heads.TwoHotHead(feature, config.critic, rngs)

  def action_vector(self, action: dict[str, Array]) -> Float[Array, "*s A"]:
    """Returns actions as the RSSM takes them."""
    return spaces_lib.to_vector(action, self._actions)
