"""Two epochs of TRL's DPOTrainer: accumulation, a short last step in each epoch, warm-up, cosine, weight decay."""

import os
import tempfile

import datasets
import torch
import transformers
from trl import DPOConfig, DPOTrainer

from files import read_jsonl, shorten, write_json

SETTINGS = dict(
    beta=0.1, max_length=40, learning_rate=2e-3, lr_scheduler_type="cosine", warmup_steps=0.25, num_train_epochs=2, gradient_accumulation_steps=3,
    weight_decay=0.1, adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8, max_grad_norm=1.0, eval_steps=5,
)  # fmt: skip
TRAIN_ROWS = 50

# name: folder under models/, per_device_train_batch_size. 50 pairs are 4 steps of 12 and one of 2 where micro-batches hold
# 4, and 5 steps of 9 and one of 5 where they hold 3: TRL then takes the mean over the means of 3 and of 2 pairs.
RUNS = {"llama": ("llama", 4), "gpt2": ("gpt2", 4), "uneven": ("llama", 3)}


def write(out):
    """Write trl_cosine.json, of the models and pairs in the folder out."""
    rows, eval_rows = (read_jsonl(os.path.join(out, file)) for file in ("pairs.jsonl", "pairs_eval.jsonl"))
    runs = {}
    for name, (model, batch) in RUNS.items():
        folder = os.path.join(out, "models", model)
        run, other = (train(folder, rows[:TRAIN_ROWS], eval_rows, batch, precompute) for precompute in (False, True))
        worst = max(abs(a["loss"] - b["loss"]) for a, b in zip(run["steps"], other["steps"]))
        print(f"cosine, {name}: {len(run['steps'])} steps; with precompute_ref_log_probs the losses differ by {worst:.1e} at most")
        runs[name] = dict(model="models/" + model, per_device_train_batch_size=batch, **run)
    note = f"TRL's DPOTrainer in float32 on the first {TRAIN_ROWS} rows of pairs.jsonl in order, evaluated on pairs_eval.jsonl; one entry of steps a step"
    write_json(os.path.join(out, "trl_cosine.json"), dict(note=note, settings=SETTINGS, train_rows=TRAIN_ROWS, runs=runs), digits=17, depth=4)


def train(folder, rows, eval_rows, batch, precompute):
    with tempfile.TemporaryDirectory() as out:
        args = DPOConfig(
            output_dir=out, per_device_train_batch_size=batch, per_device_eval_batch_size=5, precompute_ref_log_probs=precompute,
            train_sampling_strategy="sequential", eval_strategy="steps", logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True,
            use_cpu=True, bf16=False, gradient_checkpointing=False, dataloader_pin_memory=False, **SETTINGS,
        )  # fmt: skip
        trainer = DPOTrainer(
            model=folder, args=args, train_dataset=datasets.Dataset.from_list(rows), eval_dataset=datasets.Dataset.from_list(eval_rows),
            processing_class=transformers.AutoTokenizer.from_pretrained(folder),
        )  # fmt: skip
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    log = trainer.state.log_history
    return dict(
        steps=[select(row, STEP_METRICS) for row in log if "loss" in row],
        evals=[select(row, EVAL_METRICS) for row in log if "eval_loss" in row],
        final_l2={name: shorten(l2(name, p), 9) for name, p in sorted(trainer.model.named_parameters())},
    )


def l2(name, p):
    p = p.detach().double()
    if name.endswith(".attn.c_attn.bias"):
        # The softmax does not see the bias of the keys: its gradient is rounding alone, of which Adam makes steps.
        queries, _, values = p.chunk(3)
        p = torch.cat([queries, values])
    return float(p.norm())


METRICS = ["rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected", "entropy", "mean_token_accuracy"]
STEP_METRICS = ["step", "epoch", "loss", "grad_norm", "learning_rate", *METRICS, "num_tokens"]
EVAL_METRICS = ["step", "eval_loss", *("eval_" + m for m in METRICS)]


def select(row, names):
    """Those metrics of a row: float32 numbers with nine digits, the learning rate and the epoch with all."""
    return {name: row[name] if name in ("learning_rate", "epoch") else shorten(row[name], 9) for name in names}
