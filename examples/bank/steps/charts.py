"""Charts as SVG that stands in a page: no script, no font, no file beside it. Colours are the page's, so that dark mode works."""

from html import escape

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 14, 44


def number(value):
    """A coordinate, short."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def percent(value):
    return f"{value:.0%}"


class Plot:
    """A chart with axes. `x` and `y` are the ends of the axes in the units of the data."""

    def __init__(self, title, x, y, labels, ticks=None, formats=(percent, percent), height=HEIGHT, categorical=False):
        self.title, self.x, self.y, self.labels, self.height, self.categorical = title, x, y, labels, height, categorical
        self.ticks = ticks or ([0, 0.25, 0.5, 0.75, 1], [0, 0.25, 0.5, 0.75, 1])
        self.formats = formats
        self.marks, self.keys = [], []

    def at(self, x, y):
        """The point of the picture that stands for a point of the data."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), self.height - BOTTOM - up * (self.height - TOP - BOTTOM)

    def _path(self, xs, ys):
        return "M" + "L".join(",".join(map(number, self.at(x, y))) for x, y in zip(xs, ys))

    def line(self, xs, ys, style, label=None, area=False):
        if area:
            outline = self._path([xs[0], *xs, xs[-1]], [self.y[0], *ys, self.y[0]])
            self.marks.append(f'<path class="area {style}" d="{outline}Z"/>')
        self.marks.append(f'<path class="line {style}" d="{self._path(xs, ys)}"/>')
        self._key(style, label)
        return self

    def dots(self, points, style, label=None):
        """Points `(x, y, radius, what it says)`."""
        for x, y, radius, says in points:
            across, down = self.at(x, y)
            self.marks.append(
                f'<circle class="dot {style}" cx="{number(across)}" cy="{number(down)}" r="{number(radius)}">'
                f"<title>{escape(says)}</title></circle>"
            )
        self._key(style, label)
        return self

    def bars(self, values, style, label=None, says=str, inset=0.5, place=(0, 1)):
        """Bars side by side from 0 up; `place` is the part of each slot that this series takes."""
        slot = (self.x[1] - self.x[0]) / len(values)
        for index, value in enumerate(values):
            left, _ = self.at(self.x[0] + (index + place[0]) * slot, 0)
            right, top = self.at(self.x[0] + (index + place[1]) * slot, value)
            _, base = self.at(0, self.y[0])
            self.marks.append(
                f'<rect class="bar {style}" x="{number(left + inset)}" y="{number(top)}" width="{number(max(right - left - 2 * inset, 0.5))}"'
                f' height="{number(max(base - top, 0))}"><title>{escape(says(index, value))}</title></rect>'
            )
        self._key(style, label)
        return self

    def mark(self, x, text):
        """A vertical line with a word at it."""
        across, top = self.at(x, self.y[1])
        _, base = self.at(x, self.y[0])
        right = across > WIDTH * 0.7
        self.marks.append(f'<path class="mark" d="M{number(across)},{number(base)}V{number(top)}"/>')
        self.marks.append(
            f'<text class="said" x="{number(across + (-6 if right else 6))}" y="{number(top + 11)}"'
            f' text-anchor="{"end" if right else "start"}">{escape(text)}</text>'
        )
        return self

    def _key(self, style, label):
        if label:
            self.keys.append(f'<span class="key"><i class="{style}"></i>{escape(label)}</span>')

    def _axes(self):
        parts = []
        for value in self.ticks[1]:
            left, down = self.at(self.x[0], value)
            parts.append(f'<path class="grid" d="M{number(left)},{number(down)}H{WIDTH - RIGHT}"/>')
            parts.append(f'<text x="{number(left - 7)}" y="{number(down + 3.5)}" text-anchor="end">{escape(self.formats[1](value))}</text>')
        for index, value in enumerate(self.ticks[0]):
            position = self.x[0] + (index + 0.5) * (self.x[1] - self.x[0]) / len(self.ticks[0]) if self.categorical else value
            across, base = self.at(position, self.y[0])
            text = value if self.categorical else self.formats[0](value)
            parts.append(f'<text x="{number(across)}" y="{number(base + 16)}" text-anchor="middle">{escape(text)}</text>')
        left, base = self.at(self.x[0], self.y[0])
        parts.append(f'<path class="axis" d="M{number(left)},{number(base)}H{WIDTH - RIGHT}"/>')
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(f'<text class="label" x="{number(middle)}" y="{self.height - 6}" text-anchor="middle">{escape(self.labels[0])}</text>')
        turn = (self.height - BOTTOM + TOP) / 2
        parts.append(
            f'<text class="label" transform="translate(12 {number(turn)}) rotate(-90)" text-anchor="middle">{escape(self.labels[1])}</text>'
        )
        return "".join(parts)

    def svg(self):
        keys = f'<div class="keys">{"".join(self.keys)}</div>' if self.keys else ""
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height}" role="img" aria-label="{escape(self.title)}">{self._axes()}'
            f"{''.join(self.marks)}</svg>{keys}"
        )


def ranking(title, lines, says, style="one"):
    """Horizontal bars `(name, value)`, the longest first."""
    row, names = 24, 92
    most = max((value for _, value in lines), default=0) or 1
    parts = []
    for index, (name, value) in enumerate(lines):
        down, length = index * row + 4, max(value, 0) / most * (WIDTH - names - 70)
        parts.append(f'<text x="{names - 8}" y="{down + 12}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="bar {style}" x="{names}" y="{down}" width="{number(max(length, 1))}" height="16" rx="2"/>')
        parts.append(f'<text class="said" x="{number(names + max(length, 1) + 7)}" y="{down + 12}">{escape(says(value))}</text>')
    height = len(lines) * row + 6
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def roc(metrics):
    xs, ys = metrics["roc"]["x"], metrics["roc"]["y"]
    plot = Plot("ROC curve", (0, 1), (0, 1), ("false alarms: share of good outcomes flagged", "share of bad outcomes caught"))
    plot.line([0, 1], [0, 1], "guide", "guessing").line(xs, ys, "one", f"the model, AUC {metrics['auc']:.3f}", area=True)
    counts = metrics["confusion"]
    x = counts["alarms"] / (counts["alarms"] + counts["passed"])
    y = counts["caught"] / (counts["caught"] + counts["missed"])
    says = f"at {metrics['threshold']:.2f}: {y:.0%} caught, {x:.0%} false alarms"
    return plot.dots([(x, y, 5.5, says)], "two", f"threshold {metrics['threshold']:.2f}").svg()


def precision_recall(metrics):
    plot = Plot("Precision and recall", (0, 1), (0, 1), ("share of bad outcomes caught", "share of flagged that are bad"))
    rate = metrics["bad_rate"]
    plot.line([0, 1], [rate, rate], "guide", f"guessing, {rate:.0%}")
    plot.line(metrics["pr"]["x"], metrics["pr"]["y"], "one", f"the model, average {metrics['average_precision']:.3f}")
    counts = metrics["confusion"]
    x = counts["caught"] / (counts["caught"] + counts["missed"])
    y = counts["caught"] / max(counts["caught"] + counts["alarms"], 1)
    return plot.dots([(x, y, 5.5, f"{x:.0%} caught, {y:.0%} of flagged are bad")], "two", "threshold").svg()


def calibration(metrics):
    plot = Plot("Calibration", (0, 1), (0, 1), ("predicted probability", "observed share of bad outcomes"))
    points = metrics["calibration"]
    plot.line([0, 1], [0, 1], "guide", "perfect")
    plot.line([point["predicted"] for point in points], [point["observed"] for point in points], "one")
    says = "predicted {predicted:.0%}, observed {observed:.0%}, {rows} applications"
    dots = [(point["predicted"], point["observed"], 4.5, says.format(**point)) for point in points]
    return plot.dots(dots, "one", f"tenths of the applications, Brier score {metrics['brier']:.3f}").svg()


def separation(metrics):
    good, bad = metrics["histogram"]["good"], metrics["histogram"]["bad"]
    share = lambda counts: [count / max(sum(counts), 1) for count in counts]  # noqa: E731
    return distribution(
        "Scores by outcome", [("two", "bad outcome", share(bad)), ("one", "good outcome", share(good))], metrics["threshold"]
    )


def scale(most):
    """The end of an axis from 0 past `most`, and its ticks, at round values."""
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10) if most / step <= 5)
    count = int(most / step) + 1
    return step * count, [step * index for index in range(count + 1)]


def distribution(title, series, threshold, height=HEIGHT):
    """Histograms of scores beside each other: `(style, label, shares)`."""
    most, ticks = scale(max(max(shares) for _, _, shares in series))
    plot = Plot(title, (0, 1), (0, most), ("score", "share of applications"), ([0, 0.25, 0.5, 0.75, 1], ticks),
                (lambda value: f"{value:.2f}".rstrip("0").rstrip(".") or "0", percent), height)  # fmt: skip
    width = 1 / len(series)
    for index, (style, label, shares) in enumerate(series):
        bins = len(shares)
        says = lambda slot, value, label=label, bins=bins: f"{label}: {value:.1%} score {slot / bins:.2f} to {(slot + 1) / bins:.2f}"  # noqa: E731
        plot.bars(shares, style, label, says, 0.4, (index * width, (index + 1) * width))
    return plot.mark(threshold, f"threshold {threshold:.2f}").svg()


def cost(metrics):
    xs, ys = [pair[0] for pair in metrics["costs"]], [pair[1] for pair in metrics["costs"]]
    top, ticks = scale(max(ys))
    plot = Plot("Cost by threshold", (0, 1), (0, top), ("threshold", "cost of errors per application"),
                ([0, 0.25, 0.5, 0.75, 1], ticks), (lambda value: f"{value:g}", lambda value: f"{value:.2f}"))  # fmt: skip
    plot.line(xs, ys, "one", f"a miss costs {metrics['cost_of_miss']:g} false alarms")
    return plot.mark(metrics["threshold"], f"chosen in training: {metrics['threshold']:.2f}").svg()


def importance(metrics, most=10):
    lines = [(line["feature"], line["auc_lost"]) for line in metrics["importance"][:most]]
    return ranking("What the model uses", lines, lambda value: f"{value:.3f}")
