"""The forward passes of every architecture, written out in the precision of their weights.

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
    """Logits [T,V] of ids [T] by Llama, Mistral, Qwen2 and Qwen3. config is that of transformers 5."""
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    dim = config.get("head_dim") or config["hidden_size"] // heads
    length = len(ids)
    cos, sin = rotations(config["rope_parameters"], dim, length, weights["model.embed_tokens.weight"].dtype)
    types = config.get("layer_types") or ["sliding_attention" if config.get("sliding_window") else "full_attention"] * config["num_hidden_layers"]

    def linear(x, name):
        return F.linear(x, weights[name + ".weight"], weights.get(name + ".bias"))

    def norm(x, name):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + config["rms_norm_eps"]) * weights[name + ".weight"]

    def split(x, n):
        return x.view(length, n, dim).transpose(0, 1)

    def head_norm(x, name):  # Qwen3
        return norm(x, name) if name + ".weight" in weights else x

    x = weights["model.embed_tokens.weight"][ids]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        h = norm(x, layer + "input_layernorm")
        q = rotate(head_norm(split(linear(h, layer + "self_attn.q_proj"), heads), layer + "self_attn.q_norm"), cos, sin)
        k = rotate(head_norm(split(linear(h, layer + "self_attn.k_proj"), kv_heads), layer + "self_attn.k_norm"), cos, sin)
        k = k.repeat_interleave(heads // kv_heads, 0)
        v = split(linear(h, layer + "self_attn.v_proj"), kv_heads).repeat_interleave(heads // kv_heads, 0)
        window = config["sliding_window"] if types[i] == "sliding_attention" else None
        x = x + linear(attention(q, k, v, window), layer + "self_attn.o_proj")
        h = norm(x, layer + "post_attention_layernorm")
        x = x + linear(F.silu(linear(h, layer + "mlp.gate_proj")) * linear(h, layer + "mlp.up_proj"), layer + "mlp.down_proj")
    x = norm(x, "model.norm")
    return x @ weights.get("lm_head.weight", weights["model.embed_tokens.weight"]).T


def rotations(rope, dim, length, dtype):
    """Cosines and sines [T,R] of the first R numbers of a head."""
    turning = int(dim * rope.get("partial_rotary_factor", 1.0))
    angles = torch.outer(torch.arange(length, dtype=dtype), rope_frequencies(rope, turning, dtype))
    return torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)


def rotate(x, cos, sin):
    """x [H,T,D] with its first numbers turned."""
    turning = cos.shape[-1]
    head, rest = x[..., :turning], x[..., turning:]
    left, right = head.chunk(2, -1)
    return torch.cat([head * cos + torch.cat([-right, left], -1) * sin, rest], -1)


def rope_frequencies(rope, dim, dtype):
    """Radians a position [ceil(dim/2)]: theta^(-2i/dim), changed as the rope type says."""
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


def gpt_neox(config, weights, ids):
    """Logits [T,V] of ids [T]. config is that of transformers 5."""
    width, heads = config["hidden_size"], config["num_attention_heads"]
    length, dim = len(ids), width // heads
    cos, sin = rotations(config["rope_parameters"], dim, length, weights["gpt_neox.embed_in.weight"].dtype)
    approximate = {"gelu": "none", "gelu_new": "tanh"}[config["hidden_act"]]

    def norm(x, name):
        return F.layer_norm(x, (width,), weights[name + ".weight"], weights[name + ".bias"], config["layer_norm_eps"])

    def linear(x, name):
        return F.linear(x, weights[name + ".weight"], weights.get(name + ".bias"))

    def mlp(x, layer):
        h = F.gelu(linear(norm(x, layer + "post_attention_layernorm"), layer + "mlp.dense_h_to_4h"), approximate=approximate)
        return linear(h, layer + "mlp.dense_4h_to_h")

    x = weights["gpt_neox.embed_in.weight"][ids]
    for i in range(config["num_hidden_layers"]):
        layer = f"gpt_neox.layers.{i}."
        qkv = linear(norm(x, layer + "input_layernorm"), layer + "attention.query_key_value")
        q, k, v = qkv.view(length, heads, 3, dim).permute(2, 1, 0, 3)
        attended = x + linear(attention(rotate(q, cos, sin), rotate(k, cos, sin), v), layer + "attention.dense")
        x = attended + mlp(x if config["use_parallel_residual"] else attended, layer)
    x = norm(x, "gpt_neox.final_layer_norm")
    return x @ weights.get("embed_out.weight", weights["gpt_neox.embed_in.weight"]).T


def attention(q, k, v, window=None):
    """Causal attention [T, H*D] of q, k, v [H,T,D], every score written out; with a window over so many keys, the row's own included."""
    length = q.shape[1]
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[2])
    scores = scores + torch.full((length, length), -math.inf, dtype=q.dtype).triu(1)
    if window is not None:
        scores = scores + torch.full((length, length), -math.inf, dtype=q.dtype).tril(-window)
    return (torch.softmax(scores, -1) @ v).transpose(0, 1).reshape(length, -1)
