"""A plot of what every loss made of the held-out pairs, with matplotlib: a point and its name for each, names moved up where they would cover another."""

import matplotlib

matplotlib.use("svg")
# The same runs give the same bytes; text stays text.
matplotlib.rcParams.update({"svg.hashsalt": "compare-losses", "svg.fonttype": "none", "font.size": 9})

import matplotlib.pyplot as plt  # noqa: E402

NAME = 7  # points, the size of a name


def draw(best, file):
    fig, ax = plt.subplots(figsize=(9, 7))
    ax.set_xscale("symlog", linthresh=0.05, linscale=0.7)
    ax.set_yscale("symlog", linthresh=5, linscale=0.4)
    ax.axvline(0, color="0.8", linewidth=0.8)
    points = sorted((r["shift/chosen"] - r["shift/rejected"], r["shift/chosen_per_token"], name) for name, r in best.items())
    colors = ["C0" if shift >= 0 else "C1" for _, shift, _ in points]
    ax.scatter([p[1] for p in points], [p[0] for p in points], s=10, color=colors)
    ax.margins(0.08)
    fig.canvas.draw()  # for transData to be that of the picture
    taken = []  # boxes of the names so far, in points on the page
    for (margin, shift, name), color in zip(points, colors):
        x, y = ax.transData.transform((shift, margin)) * 72 / fig.dpi
        width, at = 0.6 * NAME * len(name), 0
        while any(abs(y + at - b) < NAME and x < a + w and a < x + width for a, b, w in taken):
            at += 1
        taken.append((x, y + at, width))
        line = dict(arrowstyle="-", color="0.7", linewidth=0.5, shrinkA=0, shrinkB=1) if at > NAME / 2 else None
        ax.annotate(name, (shift, margin), (4, at), textcoords="offset points", va="center", fontsize=NAME, color=color, arrowprops=line)
    ax.set_xlabel("shift of the chosen side, nats a token: to the left of 0 it became less probable")
    ax.set_ylabel("margin, nats")
    fig.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
