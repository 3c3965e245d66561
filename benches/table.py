"""Medians, ratios and the tables made of single measurements."""

import statistics


class Results:
    """All single measurements: a list of dictionaries with round, mode, row, and the figures or an error."""

    def __init__(self, measurements):
        self.measurements = measurements
        self.modes = list(dict.fromkeys(m["mode"] for m in measurements))
        self.rows = list(dict.fromkeys(m["row"] for m in measurements))

    def values(self, mode, row, name="figure"):
        """One mode's values in a row, by round."""
        return {m["round"]: m[name] for m in self.measurements
                if m["mode"] == mode and m["row"] == row and name in m}

    def errors(self, mode, row):
        """What went wrong there."""
        return [m["error"] for m in self.measurements
                if m["mode"] == mode and m["row"] == row and "error" in m]

    def median(self, mode, row, name="figure"):
        """The median over the rounds, or None. A round that failed is none of them."""
        found = self.values(mode, row, name)
        return statistics.median(found.values()) if found else None

    def ratio(self, mode, to, row, name="figure"):
        """The median of the per-round ratios to another mode, or None."""
        ours, theirs = self.values(mode, row, name), self.values(to, row, name)
        ratios = [ours[number] / theirs[number] for number in ours if theirs.get(number)]
        return statistics.median(ratios) if ratios else None


def number(value):
    """Three digits that count."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if value >= 1000:
        return f"{value:,.0f}"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits if value >= 1 else 3}f}"


def summary(results, rows, nulls):
    """What is said of each row and mode, as JSON has it."""
    told = []
    for row in results.rows:
        for mode in results.modes:
            values = results.values(mode, row)
            errors = results.errors(mode, row)
            if not values and not errors:
                continue
            extra = sorted({name for m in results.measurements if m["mode"] == mode and m["row"] == row
                            for name in m} - {"round", "mode", "row", "figure", "error"})
            told.append({
                "row": row, "mode": mode, "unit": rows[row].unit, "rounds": len(values),
                "median": results.median(mode, row),
                "min": min(values.values(), default=None), "max": max(values.values(), default=None),
                **{name: results.median(mode, row, name) for name in extra},
                "ratio": {to: ratio for to in dict.fromkeys(("routing", "haproxy", nulls.get(mode)))
                          if to and to != mode and (ratio := results.ratio(mode, to, row)) is not None},
                "errors": errors,
            })
    return told


def terminal(told, rows, nulls):
    """The table for who has started it."""
    lines = []
    row = None
    for cell in told:
        if cell["row"] != row:
            row = cell["row"]
            kind = rows[row]
            better = "less" if kind.less_is_better else "more"
            lines += ["", f"{row}: {kind.title} ({kind.unit}, {better} is better)",
                      f"  {'mode':<18} {'median':>9} {'min':>9} {'max':>9}  {'/routing':>8} {'/haproxy':>8} {'/null':>6}"
                      f"  {_cpu_title(kind)}"]
        ratio = cell["ratio"]
        to_null = ratio.get(nulls.get(cell["mode"]))
        line = (f"  {cell['mode']:<18} {number(cell['median']):>9} {number(cell['min']):>9} {number(cell['max']):>9}"
                f"  {_two(ratio.get('routing')):>8} {_two(ratio.get('haproxy')):>8} {_two(to_null):>6}")
        if cell.get("cpu_box") is not None:
            line += f"  {number(cell['cpu_box']):>7} {number(cell['cpu_own']):>7} {cell['repeats']:>7.0f}"
        if "p99_9" in cell:
            line += f"  {number(cell['p99']):>8} {number(cell['p99_9']):>8}"
        if cell["errors"]:
            line += f"  {len(cell['errors'])} FAILED: {cell['errors'][0][:120]}"
        lines.append(line.rstrip())
    return "\n".join(lines[1:])


def _cpu_title(kind):
    if kind.unit == "MiB":
        return ""
    of = {"Gbit/s": "GB", "mails/s": "1,000 mails"}.get(kind.unit, "1,000 round trips")
    return f"CPU seconds of box and mode a {of}, repeated segments" + (", p99, p99.9" if kind.less_is_better else "")


def _two(ratio):
    return "-" if ratio is None else f"{ratio:.2f}"


def markdown(told, rows, nulls, about):
    """The tables for a README: modes down, rows across, in brackets the ratio to routing."""
    lines = [f"Medians of {about['rounds']} interleaved rounds, in brackets the median of the per-round ratios to plain "
             f"routing ({about['cores']} cores for client, middle and server together, Linux {about['kernel']}, "
             f"{about['date'][:10]}).", ""]
    cells = {(cell["row"], cell["mode"]): cell for cell in told}
    modes = list(dict.fromkeys(cell["mode"] for cell in told))
    names = list(dict.fromkeys(cell["row"] for cell in told))

    def block(title, chosen, text):
        if not chosen:
            return
        lines.extend([title, "", "| mode | " + " | ".join(
            f"{rows[row].title}, {rows[row].unit}" for row in chosen) + " |",
            "|---|" + "---:|" * len(chosen)])
        for mode in modes:
            texts = [text(cells.get((row, mode))) for row in chosen]
            if any(texts):
                lines.append(f"| {mode} | " + " | ".join(texts) + " |")
        lines.append("")

    def figure(cell):
        if cell is None:
            return ""
        if cell["median"] is None or cell["errors"]:
            return "failed"
        if "p99_9" in cell:
            return f"{number(cell['median'])} / {number(cell['p99'])} / {number(cell['p99_9'])}"
        ratio = cell["ratio"].get("routing")
        return number(cell["median"]) + ("" if ratio is None else f" ({ratio:.2f})")

    def to_null(cell):
        if cell is None or cell["errors"]:
            return ""
        ratio = cell["ratio"].get(nulls.get(cell["mode"]))
        return "" if ratio is None else _two(ratio)

    def cpu(cell):
        if cell is None or cell.get("cpu_box") is None or cell["errors"]:
            return ""
        return f"{number(cell['cpu_box'])} / {number(cell['cpu_own'])}"

    def kind(unit):
        return [row for row in names if rows[row].unit == unit]

    block("**Big messages**", kind("Gbit/s"), figure)
    # Six columns a table, or nobody can read it.
    small = kind("mails/s")
    for at in range(0, len(small), 6):
        block("**Mails a second**", small[at:at + 6], figure)
    block("**Round trips of NOOP**, p50 / p99 / p99.9", [row for row in names if rows[row].unit.startswith("µs")], figure)
    block("**Resident memory**", kind("MiB"), figure)
    chosen = [*kind("Gbit/s"), *small[:3], *(row for row in names if rows[row].unit.startswith("µs"))]
    if any(to_null(cell) for cell in told):
        block("**Ratio to the null forwarder of the same device**", chosen, to_null)
    block("**CPU seconds a GB**, whole box / the mode's own processes", kind("Gbit/s"), cpu)
    for at in range(0, len(small), 6):
        block("**CPU seconds a 1,000 mails**, whole box / the mode's own processes", small[at:at + 6], cpu)
    return "\n".join(lines)
