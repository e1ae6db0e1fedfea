"""Benchmark against TRL: python scripts/benchtrl WORK ARGUMENTS. Run it through scripts/bench-trl.

WORK holds the program, dpotrain, and takes what is written. Every run is a process of its own, whose peak memory the
kernel tells when it ends.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time

# TRL's settings: micro-batch as a share of the step, gradient checkpointing, allocator.
SETTINGS = {
    "best": dict(micro=1, checkpointing=False, malloc=True, what="one pair a micro-batch, malloc's thresholds raised"),
    "users": dict(micro=None, checkpointing=False, malloc=False, what="the whole step in one batch, malloc as it is"),
    "default": dict(micro=None, checkpointing=True, malloc=False, what="as users, with gradient checkpointing, which is TRL's default"),
}
# glibc gives memory back to the kernel and faults it in again at every large tensor unless these are raised.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(1 << 36), "MALLOC_TRIM_THRESHOLD_": str(1 << 36), "MALLOC_TOP_PAD_": str(1 << 28)}

FIGURES = ("reference_s", "training_s", "all_s", "reference_mb", "training_mb")


def arguments():
    p = argparse.ArgumentParser(prog="scripts/bench-trl", description="TRL's DPOTrainer against dpotrain: one epoch of DPO, rows in order, beta 0.1.")
    p.add_argument("--model", required=True, help="model folder")
    p.add_argument("--data", required=True, help="pairs, a JSONL file with prompt, chosen and rejected")
    p.add_argument("--rows", type=int, default=16, help="rows of it, from the first (default 16)")
    p.add_argument("--max-length", type=int, default=512, help="tokens a sequence (default 512)")
    p.add_argument("--step", type=int, default=4, help="pairs an optimizer step (default 4)")
    p.add_argument("--threads", type=int, default=2, help="default 2")
    p.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16 is autocast in TRL (default fp32)")
    p.add_argument("--learning-rate", type=float, default=1e-6, help="default 1e-6")
    p.add_argument("--repeat", type=int, default=2, help="runs of each, alternating; the fastest counts (default 2)")
    p.add_argument("--trl", default="best,users", help=f"settings of TRL, of {', '.join(SETTINGS)} (default best,users): " + "; ".join(f"{k}: {v['what']}" for k, v in SETTINGS.items()))
    p.add_argument("--dpotrain", action="append", default=[], metavar="FLAG", help="further flag for dpotrain, as --dpotrain=--micro-batch-tokens=1024; may be repeated")
    p.add_argument("--json", metavar="FILE", help="write every run there too")
    a = p.parse_args(sys.argv[2:])
    for name in a.trl.split(","):
        if name not in SETTINGS:
            p.error(f"--trl: {name}: there are {', '.join(SETTINGS)}")
    return a


def main(work):
    a = arguments()
    data = os.path.join(work, "pairs.jsonl")
    with open(a.data, encoding="utf-8") as f, open(data, "w", encoding="utf-8") as g:
        g.writelines(line for line, _ in zip(f, range(a.rows)))
    names = ["dpotrain", *a.trl.split(",")]
    runs = {name: [] for name in names}
    print(f"{cpu()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; {a.threads} threads, {a.precision}, at most {a.max_length} tokens, {a.step} pairs a step", flush=True)
    for i in range(a.repeat):
        for name in names if i % 2 == 0 else reversed(names):
            run = dpotrain(work, data, a) if name == "dpotrain" else trl(work, data, a, name)
            runs[name].append(run)
            print(f"  {name} {i + 1}: reference {run['reference_s']:.2f} s, training {run['training_s']:.2f} s, {run['pairs']} pairs, {run['tokens']} tokens, train_loss {run['train_loss']:.6f}", file=sys.stderr, flush=True)
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump(dict(arguments=vars(a), runs=runs), f, indent=1)
    report(runs, a)


def cpu():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        info = dict(line.split(":", 1) for line in f.read().split("\n\n")[0].splitlines() if ":" in line)
    info = {k.strip(): v.strip() for k, v in info.items()}
    return " ".join([info.get("model name", platform.machine()), "family", info.get("cpu family", "?"), "model", info.get("model", "?")])


def process(work, argv, **env):
    """Run to the end. It gives the seconds and the peak memory in MB."""
    with open(os.path.join(work, "log"), "w+", encoding="utf-8") as log:
        start = time.monotonic()
        p = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, **env})
        _, status, usage = os.wait4(p.pid, 0)
        seconds = time.monotonic() - start
        p.returncode = os.waitstatus_to_exitcode(status)
        if p.returncode:
            log.seek(0)
            raise SystemExit(f"{log.read()[-3000:]}\n{' '.join(argv)}: exit status {p.returncode}")
    return seconds, usage.ru_maxrss / 1000


def dpotrain(work, data, a):
    out, cache = os.path.join(work, "out"), os.path.join(work, "refs")
    for path in (out, cache):
        shutil.rmtree(path, ignore_errors=True)
    common = [
        "--model", a.model, "--data", data, "--ref-cache-dir", cache, "--output-dir", out, "--max-length", str(a.max_length), "--threads", str(a.threads),
        "--precision", a.precision, "--per-device-train-batch-size", str(a.step), "--num-train-epochs", "1", "--learning-rate", str(a.learning_rate),
        "--shuffle=false", "--save-steps", "0", *a.dpotrain,
    ]  # fmt: skip
    program = os.path.join(work, "dpotrain")
    reference_s, reference_mb = process(work, [program, "precompute-ref", *common])
    all_s, training_mb = process(work, [program, "train", *common])
    with open(os.path.join(out, "metrics.jsonl"), encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    steps, last = [row for row in rows if "loss" in row], rows[-1]
    return dict(
        reference_s=reference_s, reference_mb=reference_mb, training_s=last["train_runtime"], training_mb=training_mb, all_s=reference_s + all_s,
        pairs=round(last["train_samples_per_second"] * last["train_runtime"]), tokens=round(steps[-1]["num_tokens"]), train_loss=last["train_loss"],
    )  # fmt: skip


def trl(work, data, a, name):
    s = SETTINGS[name]
    micro = s["micro"] or a.step
    out = os.path.join(work, "trl")
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    job = dict(
        model=a.model, data=data, out=out, threads=a.threads, bf16=a.precision == "bf16", max_length=a.max_length, micro=micro, accumulation=a.step // micro,
        checkpointing=s["checkpointing"], learning_rate=a.learning_rate,
    )  # fmt: skip
    env = dict(OMP_NUM_THREADS=str(a.threads), MKL_NUM_THREADS=str(a.threads), HF_HOME=os.path.join(out, "cache"), **(MALLOC if s["malloc"] else {}))
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trl_job.py")
    all_s, training_mb = process(work, [sys.executable, script, json.dumps(job)], **env)
    with open(os.path.join(out, "result.json"), encoding="utf-8") as f:
        return dict(json.load(f), training_mb=training_mb, all_s=all_s)


def rate(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.3g}"


def report(runs, a):
    best = {name: {key: min(run[key] for run in list_) for key in FIGURES} for name, list_ in runs.items()}
    first = {name: list_[0] for name, list_ in runs.items()}
    ours = best["dpotrain"]
    table = [("", "reference s", "pairs/s", "peak MB", "ratio", "training s", "pairs/s", "peak MB", "ratio", "all s", "ratio")]
    for name, b in best.items():
        pairs = first[name]["pairs"]
        row = [name if name == "dpotrain" else "TRL " + name]
        for part in ("reference", "training"):
            seconds = b[part + "_s"]
            row += [f"{seconds:.2f}", rate(pairs / seconds), f"{b[part + '_mb']:.0f}", f"{seconds / ours[part + '_s']:.2f}"]
        table.append((*row, f"{b['all_s']:.1f}", f"{b['all_s'] / ours['all_s']:.2f}"))
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        print(row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:])), sep="  ")
    print(f"{first['dpotrain']['pairs']} pairs, {first['dpotrain']['tokens']} tokens with prompts counted twice; the fastest of {a.repeat}; ratio: times dpotrain's seconds")
    print("reference: dpotrain's whole command, loading and tokenising too; TRL's pass alone. training: the steps. all: from start to end of the processes")
    for name, run in first.items():
        if (run["pairs"], run["tokens"]) != (first["dpotrain"]["pairs"], first["dpotrain"]["tokens"]):
            raise SystemExit(f"{name} saw {run['pairs']} pairs and {run['tokens']} tokens: the work is not the same")


main(sys.argv[1])
