"""Charts as SVG, written by hand: lines over a linear or logarithmic axis, and horizontal bars.

A chart is an object with a width and a height that draws itself at the origin; page() puts charts into columns below a
title and gives the whole document. Colours follow the reader's preference for light or dark (prefers-color-scheme);
each line has a dash and a marker of its own besides its colour, so that none is told by colour alone."""
import math
from xml.sax.saxutils import escape

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
LIGHT = {"paper": "#ffffff", "ink": "#1f2328", "faint": "#656d76", "grid": "#d8dee4",
         "series": ["#0969da", "#cf222e", "#1a7f37", "#8250df", "#9a6700", "#57606a"]}
DARK = {"paper": "#0d1117", "ink": "#e6edf3", "faint": "#9198a1", "grid": "#30363d",
        "series": ["#58a6ff", "#ff7b72", "#3fb950", "#bc8cff", "#d29922", "#8b949e"]}
DASHES = ["none", "7 4", "2 3", "9 3 2 3", "4 4", "1 4"]
SERIES = len(LIGHT["series"])


def _rules(theme):
    rules = [f".paper {{ fill: {theme['paper']} }}", f".ink {{ fill: {theme['ink']} }}",
             f".faint {{ fill: {theme['faint']} }}", f".grid {{ stroke: {theme['grid']} }}",
             f".axis {{ stroke: {theme['faint']} }}"]
    for i, colour in enumerate(theme["series"]):
        rules.append(f".line{i} {{ stroke: {colour}; fill: none }} .fill{i} {{ fill: {colour} }}")
    return " ".join(rules)


def _style():
    return (f"<style>text {{ font-family: {FONT}; font-size: 12px }} .title {{ font-size: 14px; font-weight: 600 }} "
            f".heading {{ font-size: 18px; font-weight: 600 }} .strong {{ font-weight: 600 }} {_rules(LIGHT)} "
            f"@media (prefers-color-scheme: dark) {{ {_rules(DARK)} }}</style>")


def text(x, y, content, style="ink", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(str(content))}</text>'


def _segment(x1, y1, x2, y2, style):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def number(value):
    """12,345; 1.5; 0.04: as many digits as say something."""
    if value == 0 or abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.{max(0, 1 - math.floor(math.log10(abs(value))))}f}"


def nice_ticks(top, about=5):
    """Ticks from 0 to at least `top`, in steps of 1, 2 or 5 times a power of ten."""
    if top <= 0:
        return [0, 1]
    rough = top / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    return [i * step for i in range(math.ceil(top / step - 1e-9) + 1)]


def _marker(index, x, y):
    shape = index % 3
    if shape == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="fill{index}"/>'
    if shape == 1:
        return f'<rect x="{x - 3.2:.1f}" y="{y - 3.2:.1f}" width="6.4" height="6.4" class="fill{index}"/>'
    return f'<path d="M{x:.1f} {y - 4.2:.1f}l4.2 7.4h-8.4z" class="fill{index}"/>'


class LineChart:
    """Lines through points. `series`: [(name, [(x, y), ...]), ...], SERIES at most. With log_x the x axis is
    logarithmic and an x of 0 stands left of it. The y axis starts at 0, so that a line that looks flat is flat."""
    LEFT, RIGHT, TOP, BOTTOM = 62, 20, 54, 44
    LEGEND_LINE = 18

    def __init__(self, title, x_label, y_label, series, log_x=False, width=460, height=300):
        if len(series) > SERIES:
            raise ValueError(f"{title}: more than {SERIES} lines")
        self.title, self.x_label, self.y_label = title, x_label, y_label
        self.series, self.log_x, self.width = series, log_x, width
        self.height = height + self.LEGEND_LINE * len(series)
        self.bottom = height - self.BOTTOM
        self.x_values = sorted({x for _, points in series for x, _ in points})
        self.y_ticks = nice_ticks(1.05 * max(y for _, points in series for _, y in points))

    def _place(self, x):
        """Where an x value stands on the axis, from 0 to 1."""
        if self.log_x:
            values = [v for v in self.x_values if v > 0]
            scale = [math.log10(values[0]), math.log10(values[-1])]
            if self.x_values[0] == 0:
                scale[0] -= 0.5 * max(1, scale[1] - scale[0]) / max(1, len(values) - 1)
            at = scale[0] if x == 0 else math.log10(x)
        else:
            scale, at = [min(0, self.x_values[0]), self.x_values[-1]], x
        return 0.5 if scale[1] == scale[0] else (at - scale[0]) / (scale[1] - scale[0])

    def _x(self, x):
        return self.LEFT + self._place(x) * (self.width - self.LEFT - self.RIGHT)

    def _y(self, y):
        return self.bottom - y / self.y_ticks[-1] * (self.bottom - self.TOP)

    def _axes(self):
        out = []
        for tick in self.y_ticks:
            out.append(_segment(self.LEFT, self._y(tick), self.width - self.RIGHT, self._y(tick), "grid"))
            out.append(text(self.LEFT - 8, self._y(tick) + 4, number(tick), "faint", "end"))
        out.append(_segment(self.LEFT, self.bottom, self.width - self.RIGHT, self.bottom, "axis"))
        last = -1e9
        for x in self.x_values:
            out.append(_segment(self._x(x), self.bottom, self._x(x), self.bottom + 4, "axis"))
            if self._x(x) - last > 7 * len(number(x)):
                out.append(text(self._x(x), self.bottom + 18, number(x), "faint", "middle"))
                last = self._x(x)
        out.append(text((self.LEFT + self.width - self.RIGHT) / 2, self.bottom + 36, self.x_label, "faint", "middle"))
        return out

    def _line(self, index, name, points):
        places = [(self._x(x), self._y(y)) for x, y in sorted(points)]
        path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        stroke = f'class="line{index}" stroke-width="2" stroke-dasharray="{DASHES[index]}"'
        legend = self.bottom + self.BOTTOM + self.LEGEND_LINE * index + 6
        return [f'<path d="{path}" {stroke}/>', *(_marker(index, x, y) for x, y in places),
                f'<path d="M{self.LEFT} {legend - 4}h34" {stroke}/>', _marker(index, self.LEFT + 17, legend - 4),
                text(self.LEFT + 44, legend, name)]

    def draw(self):
        out = [text(8, 20, self.title, "ink title"), text(8, 38, self.y_label, "faint"), *self._axes()]
        for index, (name, points) in enumerate(self.series):
            out += self._line(index, name, points)
        return "\n".join(out)


class BarChart:
    """Horizontal bars from 0. `bars`: [(label, value, stands out), ...]; a value of None was not measured. Values are
    written behind their bars with `digits` decimals. A bar of more than `end`, if there is one, is cut short at the end
    of the scale, and shows it."""
    LEFT, RIGHT, TOP, BAR, GAP = 230, 90, 34, 18, 8

    def __init__(self, title, bars, digits=2, end=None, width=940):
        self.title, self.bars, self.digits, self.width = title, bars, digits, width
        self.height = self.TOP + len(bars) * (self.BAR + self.GAP) + 30
        self.ticks = nice_ticks(end or max([value for _, value, _ in bars if value is not None], default=1))

    def _x(self, value):
        return self.LEFT + min(1, value / self.ticks[-1]) * (self.width - self.LEFT - self.RIGHT)

    def _cut(self, y):
        """Two gaps near the end of a bar that is longer than the scale."""
        right, bottom, rise = self._x(self.ticks[-1]), y + self.BAR + 2, self.BAR + 4
        return [f'<path d="M{right - x:.1f} {bottom:.1f}l5 {-rise}h3l-5 {rise}z" class="paper"/>' for x in (20, 13)]

    def _bar(self, y, label, value, ours):
        length = 0 if value is None else max(1.0, self._x(value) - self.LEFT)
        shown = "not measured" if value is None else f"{value:,.{self.digits}f}"
        return [text(self.LEFT - 8, y + 13, label, "ink strong" if ours else "ink", "end"),
                f'<rect x="{self.LEFT}" y="{y:.1f}" width="{length:.1f}" height="{self.BAR}" rx="2" '
                f'class="fill{0 if ours else SERIES - 1}"/>',
                text(self.LEFT + length + 6, y + 13, shown, "ink strong" if ours else "faint"),
                *(self._cut(y) if value and value > self.ticks[-1] else [])]

    def draw(self):
        bottom = self.height - 26
        out = [text(8, 20, self.title, "ink title")]
        for tick in self.ticks:
            out.append(_segment(self._x(tick), self.TOP, self._x(tick), bottom, "grid"))
            out.append(text(self._x(tick), bottom + 16, number(tick), "faint", "middle"))
        for i, bar in enumerate(self.bars):
            out += self._bar(self.TOP + i * (self.BAR + self.GAP) + self.GAP / 2, *bar)
        out.append(_segment(self.LEFT, self.TOP, self.LEFT, bottom, "axis"))
        return "\n".join(out)


def page(heading, charts, columns=2, note="", margin=20):
    """The document: charts from left to right in rows, below a heading and above a note, if there are any."""
    out, y, width = [], margin, 0
    if heading:
        out.append(text(margin, y + 14, heading, "ink heading"))
        y += 36
    for start in range(0, len(charts), columns):
        x, row = margin, charts[start:start + columns]
        for chart in row:
            out.append(f'<g transform="translate({x} {y})">\n{chart.draw()}\n</g>')
            x += chart.width + margin
        width = max(width, x)
        y += max(chart.height for chart in row) + margin
    if note:
        out.append(text(margin, y, note, "faint"))
        y += margin
    label = escape(heading or "; ".join(chart.title for chart in charts), {'"': "&quot;"})
    body = "\n".join(out)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" '
            f'role="img" aria-label="{label}">\n{_style()}\n'
            f'<rect width="{width}" height="{y}" rx="8" class="paper"/>\n{body}\n</svg>\n')


def bars(panels, heading="", note=""):
    """A document of bar charts, one below the other. `panels`: [(title, digits, bars, end, as of BarChart), ...]."""
    charts = [BarChart(title, items, digits, end) for title, digits, items, end in panels]
    return page(heading, charts, columns=1, note=note)
