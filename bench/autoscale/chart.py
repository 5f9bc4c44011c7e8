"""Draws how a fan-out was worked off and with how many workers, as SVG."""

from bisect import bisect_right
from html import escape

WIDTH, LEFT, RIGHT = 960, 64, 296
PLOT = WIDTH - LEFT - RIGHT
PANELS = {"waiting": (92, 200), "workers": (350, 130)}
HEIGHT = 534
COLOURS = {
    "none": "#8c959f",
    "latency": "#bc4c00",
    "step": "#bf8700",
    "depth": "#8250df",
    "depth-advised": "#d8b9ff",
    "required": "#0969da",
}


def path(points):
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def text(x, y, words, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(words)}</text>'


class Panel:
    def __init__(self, name, title, most, seconds):
        self.top, self.height = PANELS[name]
        self.title, self.most, self.seconds = title, most, seconds

    def x(self, at):
        return LEFT + PLOT * at / self.seconds

    def y(self, value):
        return self.top + self.height * (1 - value / self.most)

    def frame(self, marks):
        yield text(LEFT, self.top - 10, self.title, 'class="title"')
        for mark in marks:
            y = self.y(mark)
            yield f'<path class="grid" d="M{LEFT},{y:.1f}h{PLOT}"/>'
            yield text(LEFT - 8, y + 4, f"{mark:,}", 'text-anchor="end"')
        minutes = int(self.seconds // 60)
        bottom = self.top + self.height
        for minute in range(minutes + 1):
            x = self.x(minute * 60)
            yield f'<path class="grid" d="M{x:.1f},{bottom}v5"/>'
            yield text(x, bottom + 19, str(minute), 'text-anchor="middle"')

    def line(self, key, points):
        width = 3 if key == "required" else 1.8
        d = path((self.x(at), self.y(value)) for at, value in points)
        return f'<path d="{d}" fill="none" stroke="{COLOURS[key]}" stroke-width="{width}" stroke-linejoin="round"/>'


def waiting(result, load, until):
    """Jobs that have not started, second by second, to the last one."""
    for second in range(int(until) + 1):
        left = load.jobs - bisect_right(result.starts, second)
        yield second, left
        if left == 0:
            return


def workers(result, until):
    before = None
    for at, ordered, _ in result.pods:
        if at > until:
            return
        if before is not None and before != ordered:
            yield at, before
        yield at, ordered
        before = ordered


def duration(seconds):
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def draw(results, rows, load):
    """The fan-out of every competitor; the one with required_workers on top."""
    seconds = load.horizon
    top = Panel("waiting", "jobs that wait", load.jobs, seconds)
    bottom = Panel("workers", "workers ordered", load.max_pods, seconds)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13">',
        f"<title>A fan-out of {load.jobs:,} jobs with different autoscalers</title>",
        "<style>text{fill:#57606a}.title{fill:#24292f;font-weight:600}.head{fill:#24292f;font-size:17px;"
        "font-weight:600}.grid{stroke:#d0d7de;fill:none}.name{fill:#24292f}.best{font-weight:700}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff" stroke="#d0d7de"/>',
        text(LEFT, 34, f"{load.jobs:,} jobs of {load.job_secs:g} s at once", 'class="head"'),
        text(
            LEFT, 54,
            f"real Celery workers, at most {load.max_pods}, each {load.start_secs:g} s after it is ordered; "
            f"decisions every {load.sync_secs:g} s",
        ),  # fmt: skip
    ]
    out += top.frame([0, load.jobs // 2, load.jobs])
    out += bottom.frame([0, load.max_pods // 2, load.max_pods])
    drawn = sorted(results, key=lambda result: result.key == "required")
    for result in drawn:
        out.append(top.line(result.key, waiting(result, load, seconds)))
        out.append(bottom.line(result.key, workers(result, seconds)))
    out.append(text(LEFT + PLOT / 2, HEIGHT - 16, "minutes after the fan-out", 'text-anchor="middle"'))
    x = LEFT + PLOT + 24
    out.append(text(x, top.top - 10, "longest wait · worker-minutes", 'class="title"'))
    for number, row in enumerate(rows):
        y = top.top + 14 + number * 42
        best = " best" if row["key"] == "required" else ""
        out.append(f'<rect x="{x}" y="{y - 9}" width="14" height="4" rx="2" fill="{COLOURS[row["key"]]}"/>')
        out.append(text(x + 22, y, row["name"].replace("`", ""), f'class="name{best}"'))
        numbers = f"{duration(row['max_wait'])} · {row['worker_secs'] / 60:,.0f}"
        out.append(text(x + 22, y + 17, numbers, f'class="{best.strip()}"'))
    return "\n".join([*out, "</svg>", ""])
