"""Draws the figures of a run: one panel a row, one bar a mode, a dot for every round.

    plot.py RESULTS.json FIGURES.svg

Needs matplotlib.
"""

import json
import sys

import matplotlib

matplotlib.use("svg")
# The same figures give the same file.
matplotlib.rcParams["svg.hashsalt"] = "mailguard"
from matplotlib import pyplot  # noqa: E402

COLOURS = {"routing": "#888888", "null": "#bbbbbb", "tun": "#1f6fb4", "bridge": "#2a9d5c"}
OTHERS = "#d08a2e"
COLUMNS = 3
WANTED = ("bulk-1", "bulk-4", "mails-1k-16", "mails-100k-16", "mails-1k-16-one", "noop-1", "noop-64",
          "bulk-1-v6", "mails-1k-16-v6", "memory-50k")


def colour(mode):
    """One for each kind of mode."""
    return COLOURS.get(mode.split("-")[0], OTHERS)


def main():
    with open(sys.argv[1]) as file:
        told = json.load(file)
    cells = [cell for cell in told["summary"] if cell["median"] is not None]
    rows = [row for row in WANTED if any(cell["row"] == row for cell in cells)]
    if not rows:
        rows = list(dict.fromkeys(cell["row"] for cell in cells))[:9]
    if not rows:
        sys.exit("no figures to draw")
    most = max(sum(cell["row"] == row for cell in cells) for row in rows)
    down = -(-len(rows) // COLUMNS)
    figure, panels = pyplot.subplots(
        down, COLUMNS, squeeze=False, figsize=(5 * COLUMNS, down * (1.2 + 0.28 * most)))
    for panel in panels.flat[len(rows):]:
        panel.set_visible(False)
    for panel, row in zip(panels.flat, rows):
        here = [cell for cell in cells if cell["row"] == row]
        names = [cell["mode"] for cell in here]
        panel.barh(names, [cell["median"] for cell in here], color=[colour(name) for name in names], alpha=0.85)
        for cell in here:
            dots = [m["figure"] for m in told["measurements"]
                    if m["row"] == row and m["mode"] == cell["mode"] and "figure" in m]
            panel.plot(dots, [cell["mode"]] * len(dots), ".", color="black", markersize=3)
        panel.invert_yaxis()
        panel.set_title(told["rows"][row]["title"], fontsize=9)
        better = "less" if told["rows"][row]["less_is_better"] else "more"
        panel.set_xlabel(f"{told['rows'][row]['unit']} ({better} is better)", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.set_xlim(left=0)
    about = told["about"]
    figure.suptitle(f"mailguard {about['commit']}: medians of {about['rounds']} interleaved rounds, {about['cores']} cores, "
                    f"Linux {about['kernel']}, {about['date'][:10]}", fontsize=10)
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    figure.savefig(sys.argv[2], metadata={"Date": None})


main()
