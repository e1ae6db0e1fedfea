"""One run of TRL's DPOTrainer: python trl_job.py JOB. JOB is a JSON object; the result is written to result.json in its folder out."""

import json
import os
import resource
import sys
import time

import datasets
import torch
import transformers
from trl import DPOConfig, DPOTrainer

job = json.loads(sys.argv[1])
torch.set_num_threads(job["threads"])
with open(job["data"], encoding="utf-8") as f:
    rows = [{key: row[key] for key in ("prompt", "chosen", "rejected") if key in row} for row in map(json.loads, f)]


class Timed(DPOTrainer):
    def _precompute_ref_logps(self, *args, **kwargs):
        start = time.monotonic()
        result = super()._precompute_ref_logps(*args, **kwargs)
        self.reference_s = time.monotonic() - start
        return result


args = DPOConfig(
    output_dir=job["out"], per_device_train_batch_size=job["micro"], gradient_accumulation_steps=job["accumulation"], num_train_epochs=1,
    learning_rate=job["learning_rate"], max_length=job["max_length"], precompute_ref_log_probs=True, gradient_checkpointing=job["checkpointing"],
    bf16=job["bf16"], use_cpu=True, train_sampling_strategy="sequential", logging_steps=1, save_strategy="no", report_to="none",
    dataloader_pin_memory=False,
)  # fmt: skip
# AutoTokenizer of transformers 5 may split text by the class that tokenizer_config.json names, whatever tokenizer.json says: the
# ids would not be those that dpotrain trains on.
tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(job["model"])
trainer = Timed(model=job["model"], args=args, train_dataset=datasets.Dataset.from_list(rows), processing_class=tokenizer)
reference_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
start = time.monotonic()
trainer.train()
training_s = time.monotonic() - start
log = trainer.state.log_history
with open(os.path.join(job["out"], "result.json"), "w", encoding="utf-8") as f:
    json.dump(
        dict(
            reference_s=trainer.reference_s, reference_mb=reference_mb, training_s=training_s, pairs=len(trainer.train_dataset),
            tokens=round([row for row in log if "loss" in row][-1]["num_tokens"]), train_loss=log[-1]["train_loss"],
        ),
        f,
    )  # fmt: skip
