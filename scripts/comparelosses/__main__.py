"""Every loss on the pairs of examples/: python3 scripts/comparelosses WORK ARGUMENTS. Run it through scripts/compare-losses.

WORK holds the program, dpotrain, and takes what is written.
"""

import argparse
import json
import os
import subprocess
import sys
import time

# What the rows get for losses that read more than texts: the friendly answer has the better score and wins nine times out of ten.
COLUMNS = dict(chosen_score=1.0, rejected_score=0.0, p_win=0.9, p_win_rejected=0.1)


def arguments():
    p = argparse.ArgumentParser(prog="scripts/compare-losses", description="Every loss on the pairs of examples/, at its own defaults.")
    p.add_argument("--losses", help="names with commas between (default: all that dpotrain losses lists; those on single rows take pairs apart)")
    p.add_argument("--learning-rates", default="7e-5,2.2e-4,7e-4", help="peak rates to try (default 7e-5,2.2e-4,7e-4)")
    p.add_argument("--betas", default="1,0.3", help="what to multiply a loss's beta by (default 1,0.3)")
    p.add_argument("--json", metavar="FILE", help="write every run there too")
    p.add_argument("--plot", metavar="FILE", help="draw the margin of the best run of each loss against the shift of its chosen side there, as SVG")
    p.add_argument("--from", metavar="FILE", dest="runs", help="train nothing, and take the runs that --json has written")
    return p.parse_args(sys.argv[2:])


def main(work):
    a = arguments()
    if a.runs:
        with open(a.runs, encoding="utf-8") as f:
            runs = json.load(f)
    else:
        runs = train_all(work, a)
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump(runs, f, indent=1)
    best = {}
    for r in runs:
        if r["loss"] not in best or key(r) > key(best[r["loss"]]):
            best[r["loss"]] = r
    report(best)
    if a.plot:
        from plot import draw

        draw(best, a.plot)


def train_all(work, a):
    program = os.path.join(work, "dpotrain")
    catalogue = {l["name"]: l for l in json.loads(run(program, "losses", "--json"))}
    names = a.losses.split(",") if a.losses else list(catalogue)
    files = {}
    for split in ("train", "heldout"):
        files[split] = os.path.join(work, split + ".jsonl")
        with open(f"examples/{split}.jsonl", encoding="utf-8") as f, open(files[split], "w", encoding="utf-8") as g:
            g.writelines(json.dumps({**json.loads(line), **COLUMNS}) + "\n" for line in f)
    runs = []
    for name in names:
        start = time.monotonic()
        beta = next((h["default"] for h in catalogue[name]["hyperparameters"] if h["key"] == "beta"), None)
        for factor in map(float, a.betas.split(",")):
            if beta is None and factor != 1:
                continue
            for rate in a.learning_rates.split(","):
                settings = ["--loss", name, "--learning-rate", rate]
                if beta is not None:
                    settings += ["--beta", f"{beta * factor:g}"]
                r = train(work, program, files, settings)
                r.update(loss=name, beta=None if beta is None else beta * factor, learning_rate=rate)
                runs.append(r)
        print(f"  {name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return runs


def key(r):
    """Runs are ranked by how many held-out pairs the policy orders right by itself, then by how little the chosen side fell."""
    return (r["logps/accuracies"], r["shift/chosen"])


def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stderr[-2000:]}\n{' '.join(argv)}: exit status {done.returncode}")
    return done.stdout


def train(work, program, files, settings):
    out, cache = os.path.join(work, "out"), os.path.join(work, "refs")
    data = ["--ref-cache-dir", cache]
    run(
        program, "train", "--config", "configs/quickstart.yaml", "--data", files["train"], "--eval-data", files["heldout"], "--output-dir", out, "--overwrite",
        "--eval-strategy", "no", "--eval-on-start=false", "--sample-prompts", "0", "--save-steps", "0", "--on-nonfinite", "skip", *data, *settings,
    )  # fmt: skip
    # The same measure for all: against the reference, whether the loss has one or not.
    return json.loads(run(program, "eval", "--model", out, "--data", files["heldout"], "--loss", "dpo", "--beta", "1", "--ref", "examples/model", "--json", *data))


def report(best):
    table = [("loss", "beta", "learning rate", "logps acc.", "rewards acc.", "margin", "chosen/token", "rejected/token", "displaced", "length corr.", "entropy")]
    for name, r in sorted(best.items(), key=lambda kv: key(kv[1]), reverse=True):
        table.append((
            name, "" if r["beta"] is None else f"{r['beta']:g}", r["learning_rate"], f"{r['logps/accuracies']:.3f}", f"{r['rewards/accuracies']:.3f}",
            f"{r['shift/chosen'] - r['shift/rejected']:.2f}", f"{r['shift/chosen_per_token']:+.3f}", f"{r['shift/rejected_per_token']:+.3f}",
            f"{r['displacement/rate']:.2f}", f"{r['length/margin_correlation']:+.2f}", f"{r['entropy']:.3f}",
        ))  # fmt: skip
    print("| " + " | ".join(table[0]) + " |")
    print("|" + "---|" * len(table[0]))
    for row in table[1:]:
        print("| " + " | ".join(row) + " |")
    print("\nOf 300 held-out pairs after one epoch of 1,600; margin and shifts in nats since the reference, displaced: share of pairs of which both sides fell, the rejected one more.")


main(sys.argv[1])
