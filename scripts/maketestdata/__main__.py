"""Write the files of testdata/: python scripts/maketestdata OUT. Run it through scripts/make-testdata, which has the versions.

Everything is seeded: the same versions on the same kind of processor write the same bytes.
"""

import os
import sys

import curve
import models
import text

import torch
import transformers


def main(out):
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    pairs, tokenizer = text.write(out)
    models.write(os.path.join(out, "models"), tokenizer_dir=os.path.join(out, "tokenizer"))
    curve.write(os.path.join(out, "trl_curve.json"), os.path.join(out, "models", "llama"), tokenizer, pairs)


main(sys.argv[1])
