#!/usr/bin/env python3
"""Draws what a terminal shows as docs/picture.svg.

usage: (echo "$ COMMAND"; COMMAND) | scripts/picture.py > docs/picture.svg
"""

import sys
from html import escape

CELL, LINE, PAD = 8.4, 20, 18
lines = [line.rstrip() for line in sys.stdin]
width = max(map(len, lines)) * CELL + 2 * PAD
height = len(lines) * LINE + 2 * PAD + 14


def colour(line):
    if line.startswith("$"):
        return "#7ee787"
    if line.split()[:2] == ["SYSTEM", "QUEUE"]:
        return "#8b949e"
    return "#e6edf3"


print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" role="img">')
print("<title>A terminal with metrics of tailback</title>")
print(f'<rect width="{width:.0f}" height="{height}" rx="8" fill="#0d1117"/>')
for index, dot in enumerate(("#ff5f56", "#ffbd2e", "#27c93f")):
    print(f'<circle cx="{PAD + index * 18}" cy="16" r="5" fill="{dot}"/>')
print('<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14">')
for index, line in enumerate(lines):
    y = PAD + 14 + (index + 1) * LINE - 5
    if line:
        print(f'<text x="{PAD}" y="{y}" fill="{colour(line)}" xml:space="preserve" textLength="{len(line) * CELL:.1f}">{escape(line)}</text>')
print("</g></svg>")
