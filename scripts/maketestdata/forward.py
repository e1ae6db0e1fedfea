"""The forward passes of Llama and GPT-2, written out in the precision of their weights.

transformers computes norms, rotations and softmax in float32 even where the weights are float64, which would leave errors of
1e-7 in the reference numbers. Here nothing is below the weights' precision; models.py checks the two against each other.
"""

import math

import torch
import torch.nn.functional as F


def token_logps(forward, config, weights, prompt, completion):
    """Log-probs [len(completion)], in nats, of the ids of completion after prompt."""
    ids = torch.tensor(prompt + completion)
    logits = forward(config, weights, ids[:-1])
    return torch.log_softmax(logits, -1).gather(1, ids[1:, None])[len(prompt) - 1 :, 0]


def llama(config, weights, ids):
    """Logits [T,V] of ids [T]. config is that of transformers 5."""
    heads, kv_heads, dim = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    length = len(ids)
    dtype = weights["model.embed_tokens.weight"].dtype
    angles = torch.outer(torch.arange(length, dtype=dtype), rope_frequencies(config["rope_parameters"], dim, dtype))
    cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)

    def linear(x, name):
        return F.linear(x, weights[name + ".weight"], weights.get(name + ".bias"))

    def norm(x, name):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + config["rms_norm_eps"]) * weights[name + ".weight"]

    def split(x, n):
        return x.view(length, n, dim).transpose(0, 1)

    def rotate(x):
        left, right = x.chunk(2, -1)
        return x * cos + torch.cat([-right, left], -1) * sin

    x = weights["model.embed_tokens.weight"][ids]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        h = norm(x, layer + "input_layernorm")
        q = rotate(split(linear(h, layer + "self_attn.q_proj"), heads))
        k = rotate(split(linear(h, layer + "self_attn.k_proj"), kv_heads)).repeat_interleave(heads // kv_heads, 0)
        v = split(linear(h, layer + "self_attn.v_proj"), kv_heads).repeat_interleave(heads // kv_heads, 0)
        x = x + linear(attention(q, k, v), layer + "self_attn.o_proj")
        h = norm(x, layer + "post_attention_layernorm")
        x = x + linear(F.silu(linear(h, layer + "mlp.gate_proj")) * linear(h, layer + "mlp.up_proj"), layer + "mlp.down_proj")
    x = norm(x, "model.norm")
    return x @ weights.get("lm_head.weight", weights["model.embed_tokens.weight"]).T


def rope_frequencies(rope, dim, dtype):
    """Radians a position [dim/2]: theta^(-2i/dim), changed as the rope type says."""
    freqs = rope["rope_theta"] ** (-torch.arange(0, dim, 2, dtype=dtype) / dim)
    if rope["rope_type"] == "linear":
        return freqs / rope["factor"]
    if rope["rope_type"] == "llama3":
        # Wavelengths below original/high stay, those above original/low are stretched by factor, between them it is a blend.
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        turns = rope["original_max_position_embeddings"] * freqs / (2 * math.pi)
        keep = ((turns - low) / (high - low)).clamp(0, 1)
        return freqs * (keep + (1 - keep) / rope["factor"])
    return freqs


def gpt2(config, weights, ids):
    """Logits [T,V] of ids [T]."""
    width, heads = config["n_embd"], config["n_head"]
    length = len(ids)

    def norm(x, name):
        return F.layer_norm(x, (width,), weights[name + ".weight"], weights[name + ".bias"], config["layer_norm_epsilon"])

    def linear(x, name):  # GPT-2 keeps its matrices [in, out]
        return x @ weights[name + ".weight"] + weights[name + ".bias"]

    x = weights["transformer.wte.weight"][ids] + weights["transformer.wpe.weight"][:length]
    for i in range(config["n_layer"]):
        layer = f"transformer.h.{i}."
        qkv = linear(norm(x, layer + "ln_1"), layer + "attn.c_attn").split(width, -1)
        q, k, v = (y.view(length, heads, width // heads).transpose(0, 1) for y in qkv)
        x = x + linear(attention(q, k, v), layer + "attn.c_proj")
        h = F.gelu(linear(norm(x, layer + "ln_2"), layer + "mlp.c_fc"), approximate="tanh")
        x = x + linear(h, layer + "mlp.c_proj")
    x = norm(x, "transformer.ln_f")
    return x @ weights.get("lm_head.weight", weights["transformer.wte.weight"]).T


def attention(q, k, v):
    """Causal attention [T, H*D] of q, k, v [H,T,D], every score written out."""
    length = q.shape[1]
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[2])
    scores = scores + torch.full((length, length), -math.inf, dtype=q.dtype).triu(1)
    return (torch.softmax(scores, -1) @ v).transpose(0, 1).reshape(length, -1)
