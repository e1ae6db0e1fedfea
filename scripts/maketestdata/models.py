"""Tiny random models and their expected.json."""

import copy
import json
import os
import shutil

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from safetensors import safe_open

import forward
from files import rng, write_json

BETA = 0.1
POLICY_SCALE = 1.02  # the policy of the losses is every weight times this, the reference the model as stored
TOKENIZER_VOCAB = 320  # text.py makes a tokenizer of this size

IDS = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA3 = dict(
    rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32
)

# folder: config class, what it is given, type of the stored weights. Sizes are small and mostly no multiple of 8.
MODELS = {
    "llama": (
        transformers.LlamaConfig,
        dict(
            IDS, vocab_size=TOKENIZER_VOCAB, max_position_embeddings=256, hidden_size=36, intermediate_size=60, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, head_dim=10, rms_norm_eps=1e-5, tie_word_embeddings=True,
        ),
        torch.float32,
    ),
    "llama3-bias-untied": (
        transformers.LlamaConfig,
        dict(
            IDS, vocab_size=120, max_position_embeddings=128, hidden_size=32, intermediate_size=52, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, head_dim=16, attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
            rope_parameters=LLAMA3,
        ),
        torch.float32,
    ),
    "llama-linear": (
        transformers.LlamaConfig,
        dict(
            IDS, vocab_size=121, max_position_embeddings=128, hidden_size=48, intermediate_size=72, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=1, tie_word_embeddings=True,
            rope_parameters=dict(rope_type="linear", rope_theta=50000.0, factor=4.0),
        ),
        torch.bfloat16,
    ),
    "gpt2": (
        transformers.GPT2Config,
        dict(IDS, vocab_size=TOKENIZER_VOCAB, n_positions=144, n_embd=32, n_inner=88, n_layer=2, n_head=4, tie_word_embeddings=True),
        torch.float32,
    ),
    "gpt2-untied": (
        transformers.GPT2Config,
        dict(IDS, vocab_size=120, n_positions=112, n_embd=36, n_layer=2, n_head=3, tie_word_embeddings=False),
        torch.float16,
    ),
    # The windows are longer than some prompts and shorter than their completions' ends.
    "mistral-old": (
        transformers.MistralConfig,
        dict(
            IDS, vocab_size=120, max_position_embeddings=128, hidden_size=36, intermediate_size=44, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, head_dim=10, sliding_window=20, tie_word_embeddings=False,
        ),
        torch.bfloat16,
    ),
    "qwen2": (
        transformers.Qwen2Config,
        dict(
            IDS, vocab_size=118, max_position_embeddings=128, hidden_size=32, intermediate_size=44, num_hidden_layers=3,
            num_attention_heads=4, num_key_value_heads=2, use_sliding_window=True, sliding_window=9, max_window_layers=1,
            tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=1e6),
        ),
        torch.float32,
    ),
    "qwen3": (
        transformers.Qwen3Config,
        dict(
            IDS, vocab_size=119, max_position_embeddings=128, hidden_size=28, intermediate_size=44, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=1, head_dim=12, attention_bias=True, tie_word_embeddings=False,
            rope_parameters=dict(rope_type="default", rope_theta=1e6),
        ),
        torch.float32,
    ),
    # A quarter of a head of 12 is 3 numbers, of which transformers turns 4.
    "gpt_neox": (
        transformers.GPTNeoXConfig,
        dict(
            IDS, vocab_size=120, max_position_embeddings=128, hidden_size=36, intermediate_size=60, num_hidden_layers=2, num_attention_heads=3,
            tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25),
        ),
        torch.float16,
    ),
    "gpt_neox-sequential-old": (
        transformers.GPTNeoXConfig,
        dict(
            IDS, vocab_size=119, max_position_embeddings=128, hidden_size=32, intermediate_size=52, num_hidden_layers=2, num_attention_heads=4,
            use_parallel_residual=False, attention_bias=False, hidden_act="gelu_new", tie_word_embeddings=True,
            rope_parameters=dict(rope_type="linear", rope_theta=2000.0, partial_rotary_factor=0.5, factor=2.0),
        ),
        torch.float32,
    ),
}  # fmt: skip

RUNS = dict(
    llama=forward.llama, mistral=forward.llama, qwen2=forward.llama, qwen3=forward.llama, gpt2=forward.gpt2, gpt_neox=forward.gpt_neox
)
SHARDED = {"qwen3": "24KB"}  # folder: largest shard


def write(out, tokenizer_dir):
    for name, (config_class, options, dtype) in MODELS.items():
        folder = os.path.join(out, name)
        write_model(folder, name, config_class(**options), dtype)
        write_expected(folder, name)
        if name.endswith("-old"):
            make_config_old(folder, name)
    for name in ("llama", "gpt2"):
        for file in sorted(os.listdir(tokenizer_dir)):
            shutil.copyfile(os.path.join(tokenizer_dir, file), os.path.join(out, name, file))
    write_old_tokenizer_config(os.path.join(out, "gpt2"))
    name = "llama3-bias-untied"
    os.makedirs(os.path.join(out, name + "-old"))
    for file in ("config.json", "model.safetensors", "expected.json"):
        shutil.copyfile(os.path.join(out, name, file), os.path.join(out, name + "-old", file))
    make_config_old(os.path.join(out, name + "-old"), name)


def write_model(folder, name, config, dtype):
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    random = rng(name)
    with torch.no_grad():
        for key, p in sorted(model.named_parameters()):
            # Matrices at 0.25 and not transformers' 0.02: logits and attention are then far from uniform, and a mistake shows.
            values = random.standard_normal(tuple(p.shape)) * (0.25 if p.dim() > 1 else 0.1)
            if ("norm" in key or "ln_" in key) and key.endswith(".weight"):
                values += 1
            p.copy_(torch.from_numpy(values.astype(np.float32)))
    model.to(dtype).save_pretrained(folder, **(dict(max_shard_size=SHARDED[name]) if name in SHARDED else {}))
    for file in weight_files(folder):
        os.chmod(file, 0o644)


def weight_files(folder):
    return [os.path.join(folder, file) for file in sorted(os.listdir(folder)) if file.endswith(".safetensors")]


def load_weights(folder):
    """All tensors by name, in float64."""
    weights = {}
    for file in weight_files(folder):
        with safe_open(file, "pt") as f:
            weights.update((key, f.get_tensor(key).double()) for key in f.keys())
    return weights


def make_config_old(folder, name):
    """Turn config.json into what transformers 4 wrote (up to 4.55; later ones already say dtype), which is the same to transformers 5."""
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as f:
        new = json.load(f)
    config = copy.deepcopy(new)
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    if config["model_type"] == "gpt_neox":  # with copies under two names, as of 4.47
        config["rotary_emb_base"] = config["rope_theta"]
        config["rotary_pct"] = config["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.46.3"
    write_json(path, dict(sorted(config.items())))
    check_against_transformers(folder, new, load_weights(folder), id_pairs(name, new["vocab_size"]))


def write_old_tokenizer_config(folder):
    """What transformers 4 wrote: the special tokens and the chat template are inside tokenizer_config.json."""
    path, template = (os.path.join(folder, file) for file in ("tokenizer_config.json", "chat_template.jinja"))
    with open(path, encoding="utf-8") as f, open(template, encoding="utf-8") as g, open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as h:
        settings, text, added = json.load(f), g.read(), json.load(h)["added_tokens"]
    os.remove(template)
    settings.pop("backend")
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings["clean_up_tokenization_spaces"] = False
    settings["added_tokens_decoder"] = {str(token.pop("id")): token for token in added}
    settings["chat_template"] = text
    write_json(path, dict(sorted(settings.items())), depth=2)


def write_expected(folder, name):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    run, stored = RUNS[config["model_type"]], load_weights(folder)
    triples = id_pairs(name, config["vocab_size"])
    check_against_transformers(folder, config, stored, triples)

    pairs, reference = [], []
    for prompt, chosen, rejected in triples:
        c, r = (forward.token_logps(run, config, stored, prompt, ids) for ids in (chosen, rejected))
        reference.append((c, r))
        pairs.append(
            dict(
                prompt_ids=prompt, chosen_ids=chosen, rejected_ids=rejected, chosen_logp=float(c.sum()), rejected_logp=float(r.sum()),
                chosen_token_logps=c.tolist(), rejected_token_logps=r.tolist(),
            )  # fmt: skip
        )

    policy = {k: (v * POLICY_SCALE).requires_grad_() for k, v in stored.items()}
    losses = dict(dpo=0, ipo=0, sft=0)
    for (prompt, chosen, rejected), (ref_c, ref_r) in zip(triples, reference):
        c, r = (forward.token_logps(run, config, policy, prompt, ids) for ids in (chosen, rejected))
        margin = (c.sum() - ref_c.sum()) - (r.sum() - ref_r.sum())
        average_margin = (c.mean() - ref_c.mean()) - (r.mean() - ref_r.mean())
        losses["dpo"] += -F.logsigmoid(BETA * margin) / len(triples)
        losses["ipo"] += (average_margin - 1 / (2 * BETA)) ** 2 / len(triples)
        losses["sft"] += -c.mean() / len(triples)

    result = dict(
        note=f"float64, eager attention; policy = weights * {POLICY_SCALE}, reference = weights as stored, beta {BETA}, mean over the pairs; "
        "ipo: per-token means; sft: per-token mean of chosen",
        policy_scale=POLICY_SCALE,
        pairs=pairs,
    )
    for loss, value in losses.items():
        grads = torch.autograd.grad(value, list(policy.values()), retain_graph=True)
        result[loss] = dict(loss=value.item(), grads={k: describe(g) for k, g in sorted(zip(policy, grads))})
    write_json(os.path.join(folder, "expected.json"), result, depth=3)


def describe(grad):
    flat = grad.reshape(-1)
    return dict(l2=float(flat.norm()), sum=float(flat.sum()), first4=flat[:4].tolist(), last4=flat[-4:].tolist())


def id_pairs(name, vocab):
    """(prompt, chosen, rejected) ids. Attention's key tiles are 64 positions long; the last two pairs cross their border."""
    random = rng(name + " pairs")

    def ids(n):
        return random.integers(5, vocab, n).tolist()

    pairs = [(prompt, ids(c), ids(r)) for prompt, c, r in (([1] + ids(6), 9, 5), ([1] + ids(13), 4, 17))]
    head = ids(3)  # two completions that begin alike are still scored each for itself
    pairs[1] = (pairs[1][0], head + pairs[1][1], head + pairs[1][2])
    pairs.append(([1], ids(8), ids(11)))  # nothing is shared but BOS
    pairs.append(([1] + ids(56), ids(14), ids(7)))  # 57 + 14: the border lies in the chosen completion, at the end of the other
    pairs.append(([1] + ids(70), ids(26), ids(19)))  # the border lies in the prompt
    return pairs


def check_against_transformers(folder, config, weights, triples):
    """transformers loads the folder and agrees, as far as the float32 inside its norms, rotations and softmax lets it."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    worst = 0.0
    with torch.no_grad():
        for prompt, chosen, _ in triples:
            ids = torch.tensor(prompt + chosen)
            want = torch.log_softmax(model(input_ids=ids[None], use_cache=False).logits[0], -1)
            got = torch.log_softmax(RUNS[config["model_type"]](config, weights, ids), -1)
            worst = max(worst, float((got - want).abs().max()))
    print(f"{os.path.basename(folder)}: {sum(v.numel() for v in weights.values())} weights, largest difference to transformers {worst:.1e} nats")
    if worst > 1e-4:
        raise SystemExit(f"{folder}: transformers and forward.py disagree by {worst} nats")
