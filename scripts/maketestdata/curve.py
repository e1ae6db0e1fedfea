"""Ten steps of DPO on testdata/models/llama, and every number a trainer reports about them."""

import json
import os

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file

import forward
from files import write_json

SETTINGS = dict(
    beta=0.1, learning_rate=1e-3, lr_scheduler_type="linear", warmup_steps=2, max_steps=10, pairs_per_step=4, adam_beta1=0.9,
    adam_beta2=0.999, adam_epsilon=1e-8, weight_decay=0.0, max_grad_norm=1.0,
)  # fmt: skip


def write(path, model_dir, tokenizer, rows):
    pairs = id_pairs(tokenizer, rows[: SETTINGS["max_steps"] * SETTINGS["pairs_per_step"]])
    steps, weights = train(model_dir, pairs, torch.float32)
    exact, exact_weights = train(model_dir, pairs, torch.float64)
    losses = max(abs(a["loss"] - b["loss"]) for a, b in zip(steps, exact))
    norms = max(abs(a["grad_norm"] / b["grad_norm"] - 1) for a, b in zip(steps, exact))
    l2 = {k: float(w.double().norm()) for k, w in sorted(weights.items())}
    print(f"curve: against the same in float64 the loss differs by {losses:.1e} at most, grad_norm by {norms:.1e} relative")
    # Eight digits: the last ones depend on the processor.
    write_json(path, dict(note="float32; one entry of steps a step, learning_rate is the one applied in it, grad_norm is before clipping; pairs in order", model="models/llama", settings=SETTINGS, pairs=pairs, steps=steps, final_l2=l2), digits=8, depth=2)  # fmt: skip


def id_pairs(tokenizer, rows):
    """The ids of text rows: prompt and completion as one string, EOS at the end."""
    pairs = []
    for row in rows:
        prompt = tokenizer(row["prompt"])["input_ids"]
        pair = dict(prompt_ids=prompt)
        for side in ("chosen", "rejected"):
            whole = tokenizer(row["prompt"] + row[side] + tokenizer.eos_token)["input_ids"]
            if whole[: len(prompt)] != prompt:
                raise SystemExit(f"the ids of {row['prompt']!r} are not a prefix of those with {row[side]!r}")
            pair[side + "_ids"] = whole[len(prompt) :]
        pairs.append(pair)
    return pairs


def train(model_dir, pairs, dtype):
    """Train on the pairs in order. It returns a dict of metrics for each step, and the weights by name."""
    with open(os.path.join(model_dir, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    stored = {k: v.to(dtype) for k, v in load_file(os.path.join(model_dir, "model.safetensors")).items()}
    policy = {k: v.clone().requires_grad_() for k, v in stored.items()}
    s = SETTINGS
    optimizer = torch.optim.AdamW(
        policy.values(), lr=s["learning_rate"], betas=(s["adam_beta1"], s["adam_beta2"]), eps=s["adam_epsilon"], weight_decay=s["weight_decay"]
    )
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, s["warmup_steps"], s["max_steps"])

    def logp(weights, pair, side):
        return forward.token_logps(forward.llama, config, weights, pair["prompt_ids"], pair[side + "_ids"]).sum()

    steps = []
    for start in range(0, len(pairs), s["pairs_per_step"]):
        batch = pairs[start : start + s["pairs_per_step"]]
        chosen, rejected = (torch.stack([logp(policy, p, side) for p in batch]) for side in ("chosen", "rejected"))
        with torch.no_grad():
            ref_chosen, ref_rejected = (torch.stack([logp(stored, p, side) for p in batch]) for side in ("chosen", "rejected"))
        reward_chosen, reward_rejected = s["beta"] * (chosen - ref_chosen), s["beta"] * (rejected - ref_rejected)
        loss = -F.logsigmoid(reward_chosen - reward_rejected).mean()
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(policy.values(), s["max_grad_norm"])
        steps.append(
            {
                "step": len(steps) + 1,
                "loss": loss.item(),
                "grad_norm": norm.item(),
                "learning_rate": schedule.get_last_lr()[0],
                "rewards/chosen": reward_chosen.mean().item(),
                "rewards/rejected": reward_rejected.mean().item(),
                "rewards/accuracies": (reward_chosen > reward_rejected).double().mean().item(),
                "rewards/margins": (reward_chosen - reward_rejected).mean().item(),
                "logps/chosen": chosen.mean().item(),
                "logps/rejected": rejected.mean().item(),
            }
        )
        optimizer.step()
        schedule.step()
    return steps, {k: w.detach() for k, w in policy.items()}
