"""Write the files of testdata/: python scripts/maketestdata OUT. Run it through scripts/make-testdata, which has the versions.

Everything is seeded: the same versions on the same kind of processor write the same bytes.
"""

import logging
import os
import sys
import warnings

import cosine
import curve
import models
import rows
import schedules
import text

import datasets
import torch
import transformers


def main(out):
    warnings.simplefilter("ignore", FutureWarning)
    os.environ["TQDM_DISABLE"] = "1"
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("trl").setLevel(logging.ERROR)  # it warns of the borders inside tokens, which are there on purpose
    datasets.disable_progress_bars()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    pairs, tokenizer = text.write(out)
    models.write(os.path.join(out, "models"), tokenizer_dir=os.path.join(out, "tokenizer"))
    curve.write(os.path.join(out, "trl_curve.json"), os.path.join(out, "models", "llama"), tokenizer, pairs)
    cosine.write(out)
    schedules.write(os.path.join(out, "schedules.json"))
    rows.write(os.path.join(out, "rows"))


main(sys.argv[1])
