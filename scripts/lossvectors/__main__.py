"""Writes a JSON file of values and derivatives for every loss: python3 scripts/lossvectors FOLDER. Run it through scripts/make-loss-vectors.

Every loss stands here as its paper has it, written down for numbers of 500 decimal digits, and its derivatives are central differences with a step of 1e-60:
nothing is taken from the Go code but names of settings. A loss goes on as a straight line, or stays constant, where docs/losses.md says so.
"""

import json
import os
import sys
from decimal import Decimal as D
from decimal import getcontext

getcontext().prec = 500
STEP = D("1e-60")


def pair(name, pc, pr, rc, rr, nc, nr, scores, wins):
    """Log-probs in nats of the policy and the reference, tokens, scores, win rates. All are what a float64 holds."""
    return dict(id=name, pc=pc, pr=pr, rc=rc, rr=rr, nc=nc, nr=nr, sc=scores[0], sr=scores[1], wc=wins[0], wr=wins[1])


INPUTS = {
    "usual": [
        pair("right", -31.25, -48.8, -33.7, -45.1, 14, 19, (8.5, 6.0), (0.8, 0.3)),
        pair("wrong", -52.9, -20.3, -48.4, -22.6, 21, 9, (3.1, 2.9), (0.55, 0.5)),
        pair("both fall", -77.6, -91.45, -70.15, -80.2, 33, 35, (1.0, -0.75), (0.65, 0.35)),
        pair("both rise", -12.4, -14.9, -19.05, -16.3, 6, 8, (0.5, -3.5), (0.95, 0.05)),
        pair("hardly moved", -40.001, -39.5, -40.0, -39.498, 17, 16, (2.25, 2.125), (0.6, 0.45)),
    ],
    "extreme": [
        pair("margin 2000", -200.5, -1300.25, -1200.5, -300.25, 410, 390, (12.0, -12.0), (1.0, 0.0)),
        pair("margin -2000", -1300.25, -200.5, -300.25, -1200.5, 390, 410, (0.5, 0.25), (0.5, 0.625)),
        pair("nearly certain", -1.5e-10, -2.25e-11, -0.75, -1.25, 150, 22, (4.0, 1.0), (0.7, 0.4)),
        pair("one token", -0.001953125, -23.5, -7.25, -0.03125, 1, 1, (1.5, 1.25), (0.9, 0.8)),
        pair("same log-ratios", -8999.25, -7999.5, -9000.5, -8000.75, 4096, 3000, (7.0, 2.0), (0.0, 1.0)),
        pair("nearly the reference", -64.0000001, -80.0, -64.0, -80.0000002, 30, 40, (2.0, 1.0), (0.52, 0.48)),
    ],
}
# Completions between chosen and rejected, by the pair's name, which make a list of it: log-probs of the policy and the reference.
MIDDLE = {
    "wrong": [(-44.5, -41.25)],
    "both fall": [(-80.0, -75.5), (-91.125, -85.0), (-60.5, -66.25)],
    "both rise": [(-12.0, -15.5), (-13.75, -16.0)],
    "hardly moved": [(-40.0005, -40.0), (-38.25, -38.25), (-41.5, -41.501), (-39.75, -39.75)],
    "margin 2000": [(-700.5, -700.25), (-300.0, -1250.0)],
    "margin -2000": [(-250.0, -750.5), (-1100.0, -100.5)],
    "nearly certain": [(-3.5e-11, -1.0), (-2.0, -1e-9)],
    "same log-ratios": [(-500.25, -501.5), (-7000.0, -7001.25)],
    "nearly the reference": [(-70.0, -70.0000003)],
}
for row in (p for rows in INPUTS.values() for p in rows):
    for k, (policy, ref) in enumerate(MIDDLE.get(row["id"], [])):
        row[f"pm{k}"], row[f"rm{k}"] = policy, ref


def middle(p, key):
    return [p[k] for k in sorted(p) if k.startswith(key)]


# Of each pair what the reference's distributions are like: their entropy as a share of the largest, and the divergences of the policy's.
DISTRIBUTIONS = {
    "usual": [dict(h=0.04, kc=1.5, kr=2.25), dict(h=0.31, kc=7.75, kr=3.5), dict(h=0.125, kc=4.0, kr=9.5), dict(h=0.0625, kc=0.625, kr=0.5), dict(h=0.5, kc=0.0009765625, kr=0.001953125)],
    "extreme": [dict(h=1.0, kc=350.0, kr=275.5), dict(h=0.0, kc=0.0, kr=1250.0), dict(h=1e-7, kc=0.25, kr=0.125), dict(h=0.999999, kc=0.0, kr=8.0), dict(h=1e-5, kc=1e-12, kr=3e-13), dict(h=0.7, kc=2e-09, kr=1e-09)],
}
for inputs, rows in DISTRIBUTIONS.items():
    for p, more in zip(INPUTS[inputs], rows, strict=True):
        p.update(more, kc_held=more["kc"])
# Log-probs of mismatched rows.
MISMATCHED = {
    "usual": ([-61.5, -44.25, -70.0, -38.75], [-63.0, -43.5, -72.25, -39.25]),
    "extreme": ([-500.0, -3000.0], [-900.0, -2999.5]),
}


def s(x):
    return 1 / (1 + (-x).exp())


def log_s(x):
    return -(1 + (-x).exp()).ln() if x > 0 else x - (1 + x.exp()).ln()


def margin(p):
    return (p["pc"] - p["rc"]) - (p["pr"] - p["rr"])


def log_ratios(p):
    return p["pc"] - p["rc"], p["pr"] - p["rr"]


def means(p):
    return p["pc"] / p["nc"], p["pr"] / p["nr"]


def sft(p):
    return -p["pc"] / p["nc"]


def smoothed(u, e):
    return -(1 - e) * log_s(u) - e * log_s(-u)


def coin_kl(p, q):
    """The divergence of the coin s(q) from the coin s(p)."""
    return s(p) * (log_s(p) - log_s(q)) + s(-p) * (log_s(-p) - log_s(-q))


# The losses of a pair. p is the pair, a the settings.


def dpo(p, a):
    return -log_s(a["beta"] * margin(p))


def plackett_luce(p, a):
    """Minus the log-probability that a list, best first, comes out in its order."""
    chosen, rejected = log_ratios(p)
    odds = [(a["beta"] * x).exp() for x in [chosen, *(m - r for m, r in zip(middle(p, "pm"), middle(p, "rm"))), rejected]]
    return -sum((odds[k] / sum(odds[k:])).ln() for k in range(len(odds)))


def cdpo(p, a):
    return smoothed(a["beta"] * margin(p), a["label_smoothing"])


def robust(p, a):
    u, e = a["beta"] * margin(p), a["label_smoothing"]
    return (-(1 - e) * log_s(u) + e * log_s(-u)) / (1 - 2 * e)


def ipo(p, a):
    chosen, rejected = log_ratios(p)
    return (chosen / p["nc"] - rejected / p["nr"] - 1 / (2 * a["beta"])) ** 2


def ipo_sum(p, a):
    return (margin(p) - 1 / (2 * a["beta"])) ** 2


def odpo(p, a):
    difference = p["sc"] - p["sr"]
    offset = difference.ln() if a["odpo_offset"] == "log" else difference
    return -log_s(a["beta"] * margin(p) - a["odpo_alpha"] * offset)


def rebel(p, a):
    return (a["beta"] * margin(p) - a["rebel_reward_scale"] * (p["sc"] - p["sr"])) ** 2


def hinge(p, a):
    return max(D(0), 1 - a["beta"] * margin(p))


def reward_aware_bwd_kl(p, a):
    return coin_kl(a["reward_aware_bwd_kl_reward_scale"] * (p["sc"] - p["sr"]), a["beta"] * margin(p))


def reward_aware_fwd_kl(p, a):
    return coin_kl(a["beta"] * margin(p), a["reward_aware_fwd_kl_reward_scale"] * (p["sc"] - p["sr"]))


def sppo(p, a):
    chosen, rejected = log_ratios(p)
    return ((chosen - (p["wc"] - D("0.5")) / a["beta"]) ** 2 + (rejected - (p["wr"] - D("0.5")) / a["beta"]) ** 2) / 2


def dno(p, a):
    q = s(a["dno_reward_scale"] * (p["wc"] - p["wr"]))
    u = a["beta"] * margin(p)
    return -q * log_s(u) - (1 - q) * log_s(-u)


def squares(p, a):
    chosen, rejected = log_ratios(p)
    return (chosen - 1 / (2 * a["beta"])) ** 2 + (rejected + 1 / (2 * a["beta"])) ** 2


def cal_dpo(p, a):
    return -log_s(margin(p)) + a["cal_dpo_weight"] * squares(p, a)


def exo_pair(p, a):
    u, e = a["beta"] * margin(p), a["label_smoothing"]
    return s(u) * (log_s(u) - (1 - e).ln()) + s(-u) * (log_s(-u) - e.ln())


def nca_pair(p, a):
    chosen, rejected = (a["beta"] * x for x in log_ratios(p))
    return -log_s(chosen) - log_s(-chosen) / 2 - log_s(-rejected) / 2


def apo_zero(p, a):
    chosen, rejected = (a["beta"] * x for x in log_ratios(p))
    return 1 - s(chosen) + s(rejected)


def apo_down(p, a):
    return s(a["beta"] * log_ratios(p)[0]) + 1 - s(a["beta"] * margin(p))


def discopop(p, a):
    u = a["beta"] * margin(p)
    m = s(u / a["discopop_tau"])
    return (1 - m) * -log_s(u) + m * (-u).exp()


def dpop(p, a):
    return -log_s(a["beta"] * (margin(p) - a["dpop_lambda"] * max(D(0), p["rc"] - p["pc"])))


def rpo(p, a):
    return dpo(p, a) + a["rpo_alpha"] * sft(p)


def fdpo(p, a):
    def q(x):
        """f' of the ratio e^x, up to a constant. Exponents are held to 80."""
        match a["fdpo_divergence"]:
            case "reverse_kl":  # f(t) = t log t
                return x
            case "js_divergence":  # t log(2t/(1+t)) + log(2/(1+t))
                return log_s(x)
            case "forward_kl":  # -log t
                return 1 - min(-x, D(80)).exp()
            case "alpha_divergence":
                return (1 - min(-a["fdpo_alpha"] * x, D(80)).exp()) / a["fdpo_alpha"]

    chosen, rejected = log_ratios(p)
    return -log_s(a["beta"] * (q(chosen) - q(rejected)))


def mallows_dpo(p, a):
    phi = -a["mallows_dpo_scale"] * max(D(1e-5), p["h"]).ln()
    return -log_s(phi * a["beta"] * margin(p))


def tdpo1(p, a):
    return -log_s(a["beta"] * (margin(p) - (p["kr"] - p["kc"])))


def tdpo2(p, a):
    """kc_held is kc, through which no gradient goes."""
    return -log_s(a["beta"] * (margin(p) - a["tdpo2_alpha"] * (p["kr"] - p["kc_held"])))


def dpo_norm(p, a):
    chosen, rejected = log_ratios(p)
    return -log_s(a["beta"] * (chosen / p["nc"] - rejected / p["nr"]))


def rdpo(p, a):
    return -log_s(a["beta"] * margin(p) + a["rdpo_alpha"] * (p["nc"] - p["nr"]))


def orpo(p, a):
    def log_odds(x):
        """A straight line from -1e-6 on."""
        at = min(x, D(-1e-6))
        return at - (1 - at.exp()).ln() + (x - at) / (1 - at.exp())

    chosen, rejected = means(p)
    return sft(p) - a["beta"] * log_s(log_odds(chosen) - log_odds(rejected))


def simpo(p, a, ratio="simpo_gamma_beta_ratio"):
    chosen, rejected = means(p)
    return -log_s(a["beta"] * (chosen - rejected - a[ratio]))


def slic(p, a):
    term = sft(p) if a["slic_sft_average"] else -p["pc"]
    return max(D(0), a["slic_delta"] - (p["pc"] - p["pr"])) + a["sft_weight"] * term


def alphapo(p, a):
    alpha = a["alphapo_alpha"]

    def reward(x):
        """(1 - probability^-alpha)/alpha, a straight line where the exponent passes 80."""
        if alpha == 0:
            return x
        if -alpha * x > 80:
            at = D(80).exp()
            return (1 - at) / alpha + at * (x + 80 / alpha)
        return (1 - (-alpha * x).exp()) / alpha

    chosen, rejected = means(p)
    return -log_s(a["beta"] * (reward(chosen) - reward(rejected) - a["alphapo_gamma_beta_ratio"]))


def cpo(p, a):
    return -log_s(a["beta"] * (p["pc"] - p["pr"])) + a["cpo_alpha"] * sft(p)


def cpo_simpo(p, a):
    return simpo(p, a, "cpo_simpo_gamma_beta_ratio") + a["cpo_simpo_alpha"] * sft(p)


# Losses of a step: of all pairs, those of each, in the order of the pairs. A number that counts as a constant for the gradient is in the state, made of
# the pairs as they are.


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def bco_delta(pairs, a, _):
    return dict(delta=a["beta"] * mean(x for p in pairs for x in log_ratios(p)))


def bco(pairs, a, state):
    return [-log_s(a["beta"] * (p["pc"] - p["rc"]) - state["delta"]) - log_s(state["delta"] - a["beta"] * (p["pr"] - p["rr"])) for p in pairs]


def kto_z(pairs, a, mismatched):
    return dict(kl=max(D(0), mean(p - r for p, r in zip(*mismatched))))


def no_z(pairs, a, _):
    return dict(kl=D(0))


def kto(prefix):
    def of(pairs, a, state):
        """A pair is two rows: its chosen completion, desirable, and its rejected one, undesirable."""
        good, bad = a[prefix + "_desirable_weight"], a[prefix + "_undesirable_weight"]
        values = [(a["beta"] * (x - state["kl"]) for x in log_ratios(p)) for p in pairs]
        return [good * (1 - s(v)) + bad * (1 - s(-w)) for v, w in values]

    return of


def ranks(values):
    return sorted(range(len(values)), key=lambda i: values[i])


def aot(pairs, a, _):
    u, v = [p["pc"] - p["pr"] for p in pairs], [p["rc"] - p["rr"] for p in pairs]
    losses = [None] * len(pairs)
    for i, j in zip(ranks(u), ranks(v)):
        losses[i] = smoothed(a["beta"] * (u[i] - v[j]), a["label_smoothing"])
    return losses


def aot_unpaired(pairs, a, _):
    """The loss of a rank counts as that of the pair with the chosen completion."""
    u, v = [p["pc"] - p["rc"] for p in pairs], [p["pr"] - p["rr"] for p in pairs]
    losses = [None] * len(pairs)
    for i, j in zip(ranks(u), ranks(v)):
        losses[i] = smoothed(a["beta"] * (u[i] - v[j]), a["label_smoothing"])
    return losses


def beta_of_step(before):
    def of(pairs, a, _):
        h = mean(margin(p) for p in pairs)
        after = D("0.9") * before + D("0.1") * h
        used = a["beta"] * (1 + a["beta_dpo_a"] * (h - after))
        return dict(m0_before=before, m0_after=after, beta_used=max(used, D("0.001")))

    return of


def beta_dpo(pairs, a, state):
    return [dpo(p, dict(beta=state["beta_used"])) for p in pairs]


def each(loss):
    def of(pairs, a, _):
        return [loss(p, a) for p in pairs]

    of.alone = True  # a pair's loss depends on that pair alone
    return of


def none(pairs, a, _):
    return {}


# Of every loss: how it is made of pairs, how its state is, and the settings to write it for; the first ones are its defaults.
LOSSES = {
    "dpo": (each(dpo), none, [dict(beta=0.1), dict(beta=1.0)]),
    "plackett_luce": (each(plackett_luce), none, [dict(beta=0.1), dict(beta=1.0)]),
    "cdpo": (each(cdpo), none, [dict(beta=0.1, label_smoothing=0.1), dict(beta=0.5, label_smoothing=0.3)]),
    "robust": (each(robust), none, [dict(beta=0.1, label_smoothing=0.1), dict(beta=0.5, label_smoothing=0.4)]),
    "ipo": (each(ipo), none, [dict(beta=0.1), dict(beta=2.0)]),
    "ipo_sum": (each(ipo_sum), none, [dict(beta=0.1), dict(beta=2.0)]),
    "odpo": (each(odpo), none, [dict(beta=0.5, odpo_alpha=1.0, odpo_offset="log"), dict(beta=0.1, odpo_alpha=0.5, odpo_offset="identity")]),
    "rebel": (each(rebel), none, [dict(beta=1.0, rebel_reward_scale=1.0), dict(beta=0.1, rebel_reward_scale=3.0)]),
    "hinge": (each(hinge), none, [dict(beta=0.05), dict(beta=0.5)]),
    "bco": (bco, bco_delta, [dict(beta=0.1), dict(beta=0.01)]),
    "kto": (
        kto("kto"),
        kto_z,
        [dict(beta=0.1, kto_desirable_weight=1.0, kto_undesirable_weight=1.0), dict(beta=0.5, kto_desirable_weight=1.25, kto_undesirable_weight=0.75)],
    ),
    "apo_zero_unpaired": (
        kto("apo_zero_unpaired"),
        no_z,
        [
            dict(beta=0.1, apo_zero_unpaired_desirable_weight=1.0, apo_zero_unpaired_undesirable_weight=1.0),
            dict(beta=0.5, apo_zero_unpaired_desirable_weight=0.5, apo_zero_unpaired_undesirable_weight=2.0),
        ],
    ),
    "aot": (aot, none, [dict(beta=0.01, label_smoothing=0.0), dict(beta=0.1, label_smoothing=0.2)]),
    "aot_unpaired": (aot_unpaired, none, [dict(beta=0.01, label_smoothing=0.0), dict(beta=0.1, label_smoothing=0.2)]),
    "beta_dpo": (
        beta_dpo,
        beta_of_step(D("0.5")),
        [dict(beta=0.1, beta_dpo_a=0.6, beta_dpo_filter_ratio=0.0), dict(beta=0.2, beta_dpo_a=0.05, beta_dpo_filter_ratio=0.0)],
    ),
    "reward_aware_bwd_kl": (each(reward_aware_bwd_kl), none, [dict(beta=0.1, reward_aware_bwd_kl_reward_scale=1.0), dict(beta=0.02, reward_aware_bwd_kl_reward_scale=0.25)]),
    "reward_aware_fwd_kl": (each(reward_aware_fwd_kl), none, [dict(beta=0.1, reward_aware_fwd_kl_reward_scale=1.0), dict(beta=0.02, reward_aware_fwd_kl_reward_scale=0.25)]),
    "sppo": (each(sppo), none, [dict(beta=0.001), dict(beta=0.1)]),
    "dno": (each(dno), none, [dict(beta=0.1, dno_reward_scale=1.0), dict(beta=0.3, dno_reward_scale=5.0)]),
    "dno_prct": (each(dpo), none, [dict(beta=0.3)]),
    "cal_dpo": (each(cal_dpo), none, [dict(beta=0.1, cal_dpo_weight=1.0), dict(beta=0.001, cal_dpo_weight=0.5)]),
    "exo_pair": (each(exo_pair), none, [dict(beta=0.1, label_smoothing=0.001), dict(beta=0.5, label_smoothing=0.2)]),
    "nca_pair": (each(nca_pair), none, [dict(beta=0.01), dict(beta=0.5)]),
    "sppo_hard": (each(squares), none, [dict(beta=0.001), dict(beta=0.1)]),
    "apo_zero": (each(apo_zero), none, [dict(beta=0.1), dict(beta=1.0)]),
    "apo_down": (each(apo_down), none, [dict(beta=0.1), dict(beta=1.0)]),
    "discopop": (each(discopop), none, [dict(beta=0.05, discopop_tau=0.05), dict(beta=0.1, discopop_tau=0.5)]),
    "dpop": (each(dpop), none, [dict(beta=0.3, dpop_lambda=50.0), dict(beta=0.1, dpop_lambda=2.0)]),
    "rpo": (each(rpo), none, [dict(beta=0.1, rpo_alpha=1.0), dict(beta=0.01, rpo_alpha=0.005)]),
    "fdpo": (
        each(fdpo),
        none,
        [
            dict(beta=0.1, fdpo_divergence="js_divergence"),
            dict(beta=0.1, fdpo_divergence="reverse_kl"),
            dict(beta=0.1, fdpo_divergence="forward_kl"),
            dict(beta=0.1, fdpo_divergence="alpha_divergence", fdpo_alpha=0.5),
        ],
    ),
    "mallows_dpo": (each(mallows_dpo), none, [dict(beta=0.1, mallows_dpo_scale=0.29), dict(beta=0.5, mallows_dpo_scale=2.0)]),
    "tdpo1": (each(tdpo1), none, [dict(beta=0.1), dict(beta=1.0)]),
    "tdpo2": (each(tdpo2), none, [dict(beta=0.1, tdpo2_alpha=0.5), dict(beta=0.5, tdpo2_alpha=2.0)]),
    "dpo_norm": (each(dpo_norm), none, [dict(beta=5.0), dict(beta=0.5)]),
    "rdpo": (each(rdpo), none, [dict(beta=0.1, rdpo_alpha=0.05), dict(beta=0.3, rdpo_alpha=0.01)]),
    "orpo": (each(orpo), none, [dict(beta=0.1), dict(beta=1.0)]),
    "simpo": (each(simpo), none, [dict(beta=2.0, simpo_gamma_beta_ratio=0.5), dict(beta=10.0, simpo_gamma_beta_ratio=0.25)]),
    "slic": (
        each(slic),
        none,
        [dict(slic_delta=1.0, sft_weight=0.1, slic_sft_average=True), dict(slic_delta=30.0, sft_weight=0.5, slic_sft_average=False)],
    ),
    "alphapo": (
        each(alphapo),
        none,
        [
            dict(beta=2.5, alphapo_alpha=0.25, alphapo_gamma_beta_ratio=0.1),
            dict(beta=2.0, alphapo_alpha=-0.5, alphapo_gamma_beta_ratio=0.25),
            dict(beta=2.0, alphapo_alpha=0.0, alphapo_gamma_beta_ratio=0.25),
        ],
    ),
    "cpo": (each(cpo), none, [dict(beta=0.1, cpo_alpha=1.0), dict(beta=0.5, cpo_alpha=0.1)]),
    "cpo_simpo": (
        each(cpo_simpo),
        none,
        [dict(beta=2.0, cpo_simpo_gamma_beta_ratio=0.5, cpo_simpo_alpha=1.0), dict(beta=10.0, cpo_simpo_gamma_beta_ratio=0.3, cpo_simpo_alpha=0.05)],
    ),
    "sft": (each(lambda p, a: sft(p)), none, [dict()]),
}


# Those of lists.
LISTS = ("plackett_luce",)


def exact(values):
    """Numbers as they are in a float64, without its rounding from here on."""
    return {k: D(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else v for k, v in values.items()}


def derivative(of, pairs, a, state, i, key):
    def total(step):
        moved = dict(pairs[i], **{key: pairs[i][key] + step})
        return sum(of([moved] if hasattr(of, "alone") else pairs[:i] + [moved] + pairs[i + 1 :], a, state))

    return (total(STEP) - total(-STEP)) / (2 * STEP)


def cases(name):
    of, state_of, settings = LOSSES[name]
    for params in settings:
        a = exact(params)
        text = ",".join(f"{k}={v}" for k, v in params.items())
        for inputs, rows in INPUTS.items():
            pairs = [exact(p) for p in rows]
            state = state_of(pairs, a, [list(map(D, m)) for m in MISMATCHED[inputs]])
            losses = of(pairs, a, state)
            case = dict(name=f"{name}/{text}/{inputs}", loss_key=name, inputs=inputs, params=params)
            if state:
                case["state"] = {k: float(v) for k, v in state.items()}
            case["per_example"] = [
                dict(
                    id=p["id"],
                    loss=float(losses[i]),
                    d_policy_chosen=float(derivative(of, pairs, a, state, i, "pc")),
                    d_policy_rejected=float(derivative(of, pairs, a, state, i, "pr")),
                    **({"d_policy_middle": [float(derivative(of, pairs, a, state, i, k)) for k in sorted(p) if k.startswith("pm")]} if name in LISTS else {}),
                    **{"d_" + field: float(derivative(of, pairs, a, state, i, k)) for field, k in MORE_FIELDS.get(name, {}).items() if k in ("kc", "kr")},
                )
                for i, p in enumerate(pairs)
            ]
            yield case


def step_zero(name, params):
    """The loss where policy and reference agree, if it is the same for all pairs; none for losses of single rows, two of which stand for a pair here."""
    of, state_of, _ = LOSSES[name]
    if state_of in (kto_z, no_z):
        return None
    same = [dict(exact(p), pc=D(p["rc"]), pr=D(p["rr"]), kc=D(0), kr=D(0), kc_held=D(0), **{"pm" + k[2:]: D(v) for k, v in p.items() if k.startswith("rm")}) for rows in INPUTS.values() for p in rows]
    a = exact(params)
    values = {float(of([p], a, dict(state_of([p], a, ([D(0)], [D(0)])), **({"beta_used": a["beta"]} if name == "beta_dpo" else {})))[0]) for p in same}
    return values.pop() if len(values) == 1 else None


FIELDS = dict(
    id="id", policy_chosen="pc", policy_rejected="pr", ref_chosen="rc", ref_rejected="rr", chosen_tokens="nc", rejected_tokens="nr",
    chosen_score="sc", rejected_score="sr", p_win="wc", p_win_rejected="wr",
)  # fmt: skip
# Those that only these losses read.
DIVERGENCES = dict(seqkl_chosen="kc", seqkl_rejected="kr")
MORE_FIELDS = {"mallows_dpo": dict(ref_entropy_normalised="h"), "tdpo1": DIVERGENCES, "tdpo2": DIVERGENCES}


def fields(name, p):
    lists = dict(policy_middle=middle(p, "pm"), ref_middle=middle(p, "rm")) if name in LISTS else {}
    return {field: p[k] for field, k in (FIELDS | MORE_FIELDS.get(name, {})).items()} | lists


def write(folder, name):
    inputs = {
        key: dict(pairs=[fields(name, p) for p in rows], kl_policy_logps=MISMATCHED[key][0], kl_ref_logps=MISMATCHED[key][1])
        for key, rows in INPUTS.items()
    }
    all_cases = list(cases(name))
    first = {c["name"]: step_zero(name, c["params"]) for c in all_cases}
    lines = ['{"schema_version": 1,', '"inputs": {']
    for key, group in inputs.items():
        lines += [f'"{key}": {{"pairs": [']
        lines += [",\n".join("  " + json.dumps(p) for p in group["pairs"]) + "],"]
        lines += [f' "kl_policy_logps": {group["kl_policy_logps"]}, "kl_ref_logps": {group["kl_ref_logps"]}}}' + ("," if key != list(inputs)[-1] else "},")]
    lines += ['"step0": ' + json.dumps({k: dict(value=v) for k, v in first.items() if v is not None}) + ","]
    lines += ['"cases": [']
    texts = []
    for c in all_cases:
        rows = ",\n".join("  " + json.dumps(r) for r in c.pop("per_example"))
        texts.append(json.dumps(c)[:-1] + ', "per_example": [\n' + rows + "]}")
    lines += [",\n".join(texts), "]}"]
    with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")


for loss in LOSSES:
    write(sys.argv[1], loss)
