"""The learning rate of every step, by each schedule of transformers that dpotrain has."""

import torch
import transformers

from files import write_json

# lr_scheduler_type, learning rate, warm-up steps, all steps, lr_scheduler_kwargs
CASES = [
    ("linear", 3e-4, 0, 10, {}),
    ("linear", 1e-6, 3, 11, {}),
    ("linear", 1e-6, 5, 5, {}),
    ("linear", 1e-6, 7, 5, {}),
    ("cosine", 3e-4, 0, 10, {}),
    ("cosine", 5e-7, 2, 13, {}),
    ("constant", 3e-4, 3, 6, {}),
    ("constant_with_warmup", 3e-4, 0, 4, {}),
    ("constant_with_warmup", 7e-6, 3, 8, {}),
    ("inverse_sqrt", 5e-6, 0, 6, {}),
    ("inverse_sqrt", 5e-6, 4, 12, {}),
    ("inverse_sqrt", 5e-6, 0, 6, {"timescale": 3}),
    ("inverse_sqrt", 5e-6, 4, 12, {"timescale": 100}),
    ("inverse_sqrt", 5e-6, 4, 12, {"timescale": 2}),
    ("cosine_with_min_lr", 3e-4, 0, 9, {"min_lr": 3e-5}),
    ("cosine_with_min_lr", 1e-6, 3, 11, {"min_lr_rate": 0.1}),
    ("cosine_with_min_lr", 1e-6, 3, 11, {"min_lr_rate": 0.0}),
    ("cosine_with_min_lr", 1e-6, 3, 11, {"min_lr": 1e-6}),
]


def write(path):
    rows = []
    for kind, peak, warmup, total, kwargs in CASES:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
        schedule = transformers.get_scheduler(kind, optimizer, warmup, total, scheduler_specific_kwargs=kwargs)
        rates = []
        for _ in range(total):
            rates.append(float(schedule.get_last_lr()[0]))
            optimizer.step()
            schedule.step()
        rows.append(dict(lr_scheduler_type=kind, learning_rate=peak, warmup_steps=warmup, steps=total, **kwargs, rates=rates))
    write_json(path, rows, digits=17)
