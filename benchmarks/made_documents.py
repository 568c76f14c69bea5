"""Documents made here, each with unit tests of what a good reader gives: the kinds that olmOCR-bench asks for.

    python benchmarks/made_documents.py FOLDER

writes PDFs and tests.jsonl. The text is drawn from word lists with a fixed seed, so nothing of it stands in any corpus.
The pages with formulas and those set as journals are needs pdflatex; without it they are left out, and it says so.
"""

from __future__ import annotations

import io
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pymupdf
from PIL import Image, ImageFilter

_NOUNS = [
    "harbour",
    "bridge",
    "ledger",
    "council",
    "river",
    "market",
    "lantern",
    "granary",
    "orchard",
    "vessel",
    "charter",
    "quarry",
    "mill",
    "beacon",
    "parish",
    "meadow",
    "canal",
    "tariff",
    "merchant",
    "voyage",
    "archive",
    "garrison",
    "cathedral",
    "survey",
    "colony",
    "railway",
    "furnace",
    "dyke",
    "brewery",
    "foundry",
]
_VERBS = [
    "repaired",
    "measured",
    "described",
    "questioned",
    "inherited",
    "painted",
    "dismantled",
    "audited",
    "flooded",
    "leased",
    "guarded",
]
_ADJECTIVES = [
    "northern",
    "ancient",
    "narrow",
    "disputed",
    "timbered",
    "forgotten",
    "prosperous",
    "gilded",
    "crooked",
    "silent",
    "brackish",
]
_TAILS = (
    "before the autumn storms",
    "without asking the assembly",
    "for a sum that nobody recorded",
    "while the accounts were open",
    "against the advice of the masons",
    "as the treaty had required",
    "until the last barge had left",
)


@dataclass
class Made:
    """A document and its tests; the page of a test counts from 1."""

    name: str
    kind: str
    data: bytes
    tests: list[dict] = field(default_factory=list)

    def test(self, kind: str, page: int = 1, **fields: object) -> None:
        self.tests.append({"type": kind, "page": page, "max_diffs": 0, **fields})


def sentence(chance: random.Random) -> str:
    adjective, noun, verb = chance.choice(_ADJECTIVES), chance.choice(_NOUNS), chance.choice(_VERBS)
    year, other = chance.randrange(1610, 1890), chance.choice(_NOUNS)
    return f"In {year} the {adjective} {noun} was {verb} with the {other} {chance.choice(_TAILS)}."


def prose(chance: random.Random, count: int) -> list[str]:
    return [sentence(chance) for _ in range(count)]


def latex(body: str, preamble: str, options: str = "10pt") -> bytes:
    """The PDF of a LaTeX article, set twice for its references."""
    with tempfile.TemporaryDirectory() as folder:
        text = rf"\documentclass[{options}]{{article}}{preamble}\begin{{document}}{body}\end{{document}}"
        Path(folder, "made.tex").write_text(text)
        for _ in range(2):
            command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "made.tex"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
        return Path(folder, "made.pdf").read_bytes()


_AMS = r"\usepackage{amsmath,amssymb}"
_HEADS = (
    r"\usepackage{fancyhdr}\usepackage[margin=1in]{geometry}\pagestyle{fancy}\fancyhf{}"
    r"\fancyhead[L]{%s}\fancyhead[R]{\thepage}\fancyfoot[C]{%s}\setcounter{page}{%d}"
)


def heads(chance: random.Random) -> Iterator[Made]:
    """Single pages of journals and reports with heads and feet."""
    for at, (head, foot, rule, columns) in enumerate(
        [
            ("The Journal of Inland Harbours, Vol. 12", "Copyright 2019 Harbour Press", True, ""),
            (r"A. Mercer and L. Quay / Granaries", "Submitted to the Annals of Canals", False, ",twocolumn"),
            (r"\textit{Chapter 4. Of Mills}", "www.mills-and-dykes.example", True, ""),
            ("REPORT ON TARIFFS", "Draft, not for circulation", False, ",twocolumn"),
        ]
    ):
        number = 1140 + at
        lines = prose(chance, 60)
        preamble = _HEADS % (head, foot, number) + ("" if rule else r"\renewcommand{\headrulewidth}{0pt}")
        body = r"\section{The granary and its keepers}" + "\n\n".join(
            " ".join(lines[k : k + 5]) for k in range(0, 60, 5)
        )
        data = latex(body, preamble, f"10pt{columns}")
        with pymupdf.open(stream=data) as pages:
            pages.select([0])
            made = Made(f"head_{at}", "headers_footers", pages.tobytes())
        made.test("absent", text=head.replace(r"\textit{", "").rstrip("}"))
        made.test("absent", text=foot)
        made.test("absent", text=str(number))
        made.test("present", text="The granary and its keepers")
        made.test("present", text=lines[0])
        yield made


def html_heads(chance: random.Random) -> Iterator[Made]:
    """A report of four pages, its heads set by hand: left and right pages differ, a stamp runs up the margin."""
    document = pymupdf.open()
    made = Made("report_pages", "headers_footers", b"")
    for number in range(1, 5):
        page = document.new_page(width=595, height=842)
        left = number % 2 == 0
        page.insert_text((60, 45), "Ministry of Dykes" if left else "Annual survey 1871", fontsize=9)
        page.insert_text((60, 812), f"{number} | survey" if left else f"survey | {number}", fontsize=9)
        page.insert_text((60, 824), "Printed by order of the assembly", fontsize=7)
        page.insert_text((20, 600), "ARCHIVE COPY 5581", fontsize=7, rotate=90)
        lines = prose(chance, 24)
        page.insert_htmlbox(
            (60, 75, 535, 780), "".join(f"<p>{' '.join(lines[k : k + 4])}</p>" for k in range(0, 24, 4))
        )
        for text in (
            "Ministry of Dykes",
            "Annual survey 1871",
            "Printed by order of the assembly",
            "ARCHIVE COPY 5581",
        ):
            made.test("absent", number, text=text)
        made.test("present", number, text=lines[0])
        made.test("present", number, text=lines[-1])
    made.data = document.tobytes()
    yield made


def columns(chance: random.Random) -> Iterator[Made]:
    for at, (width, title, figure) in enumerate(
        [(2, True, False), (3, False, False), (2, True, True), (3, True, True)]
    ):
        lines = prose(chance, 30 * width)
        top = r"\begin{center}{\LARGE On the accounts of a river town}\end{center}" if title else ""
        boxed = r"\fbox{\begin{minipage}{0.8\linewidth}\small " + lines.pop() + r"\end{minipage}}" if figure else ""
        paragraphs = [" ".join(lines[k : k + 6]) for k in range(0, len(lines), 6)]
        body = rf"{top}\begin{{multicols}}{{{width}}}\small " + "\n\n".join(paragraphs[:3]) + boxed
        body += "\n\n".join(["", *paragraphs[3:]]) + r"\end{multicols}"
        made = Made(
            f"columns_{at}", "multi_column", latex(body, r"\usepackage{multicol}\usepackage[margin=0.8in]{geometry}")
        )
        with pymupdf.open(stream=made.data) as pages:
            shown = " ".join(pages[0].get_text().split())
        seen = [line for line in lines if line[:30] in shown]
        for one in range(0, min(len(seen), 40) - 6, 5):
            made.test("order", before=seen[one][:40], after=seen[one + 5][:40], max_diffs=2)
        yield made


def tables(chance: random.Random) -> Iterator[Made]:
    def number() -> str:
        return f"{chance.randrange(10, 9999):,}"

    places = ["Aldmoor", "Brackwater", "Cranford", "Dunmere", "Eastwick", "Farrow"]
    for at, style in enumerate(["ruled", "merged", "booktabs", "bare", "wrapped", "ruled_scan"]):
        values = [[number() for _ in range(4)] for _ in places]
        top = ["Exports", "Imports"]
        second = ["1870", "1871", "1870", "1871"]
        made = Made(f"table_{at}_{style}", "tables", _table_page(chance, style, places, values, top, second))
        stubs = [f"{place} and its hamlets" if style == "wrapped" else place for place in places]
        for row in (1, 3):
            made.test("table", cell=values[row][1], left=values[row][0], right=values[row][2], up=values[row - 1][1])
            made.test("table", cell=values[row][2], down=values[row + 1][2], left_heading=stubs[row])
            made.test("table", cell=values[row][3], top_heading=top[1], left_heading=stubs[row])
        made.test("table", cell=values[0][1], up=second[1])
        yield made


def _table_page(
    chance: random.Random, style: str, places: list[str], values: list[list[str]], top: list[str], second: list[str]
) -> bytes:
    before, after = prose(chance, 4), prose(chance, 4)
    rows = []
    rule = "border: 1px solid black;" if style in {"ruled", "merged", "ruled_scan"} else ""
    if style == "booktabs":
        lines = " \\\\\n".join(" & ".join([place, *row]) for place, row in zip(places, values, strict=True))
        body = " ".join(before) + (
            rf"\begin{{center}}\begin{{tabular}}{{lrrrr}}\toprule & \multicolumn{{2}}{{c}}{{{top[0]}}} & "
            rf"\multicolumn{{2}}{{c}}{{{top[1]}}} \\ \cmidrule(lr){{2-3}} \cmidrule(lr){{4-5}} Town & "
            rf"{' & '.join(second)} \\ \midrule {lines} \\ \bottomrule\end{{tabular}}\end{{center}}"
        )
        return latex(body + " ".join(after), r"\usepackage{booktabs}\usepackage[margin=1in]{geometry}")
    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    page.insert_htmlbox((60, 60, 535, 160), f"<p>{' '.join(before)}</p>")
    xs = [70, 190, 270, 350, 430, 510]
    y = 190.0
    heading = [
        [("Town", 0, 1), (top[0], 1, 2), (top[1], 3, 2)],
        [("", 0, 1), *((t, k + 1, 1) for k, t in enumerate(second))],
    ]
    rows = [
        *heading,
        *(
            [(place, 0, 1), *((t, k + 1, 1) for k, t in enumerate(row))]
            for place, row in zip(places, values, strict=True)
        ),
    ]
    for row in rows:
        wrapped = style == "wrapped" and row not in heading
        height = 34 if wrapped else 20
        for text, column, span in row:
            if rule:
                page.draw_rect((xs[column], y, xs[column + span], y + height), width=0.7)
            middle = (xs[column] + xs[column + span]) / 2 - 2.6 * len(text)
            x = xs[column] + 4 if column == 0 or not (span > 1 or style in {"bare", "wrapped"}) else middle
            page.insert_text((x, y + 14), text, fontsize=10)
            if wrapped and column == 0:
                page.insert_text((x, y + 26), "and its hamlets", fontsize=10)
        y += height
    page.insert_htmlbox((60, y + 30, 535, y + 130), f"<p>{' '.join(after)}</p>")
    if style == "ruled_scan":
        return scanned(document, dpi=150)
    return document.tobytes()


def tiny(chance: random.Random) -> Iterator[Made]:
    for at, (size, scan) in enumerate([(5.0, False), (6.0, True), (4.5, False), (7.0, True)]):
        lines = prose(chance, 110)
        document = pymupdf.open()
        page = document.new_page(width=595, height=842)
        for side in (0, 1):
            box = (40 + 262 * side, 50, 292 + 262 * side, 800)
            page.insert_textbox(box, " ".join(lines[55 * side : 55 * side + 55]), fontsize=size, fontname="tiro")
        made = Made(f"tiny_{at}", "long_tiny_text", scanned(document, dpi=200) if scan else document.tobytes())
        for line in lines[3:110:15]:
            made.test("present", text=line[:60], max_diffs=2)
        yield made


def scans(chance: random.Random) -> Iterator[Made]:
    """Old prints: yellow, blurred, speckled, turned a little; a head and a page number on each."""
    for at, (angle, blur, dpi, bend) in enumerate(
        [
            (0.0, 0.7, 150, 0.0),
            (1.5, 0.8, 150, 0.0),
            (-3.5, 0.6, 170, 0.0),
            (0.5, 1.0, 200, 18.0),
            (90.8, 0.6, 150, 0.0),
        ]
    ):
        lines = prose(chance, 22)
        document = pymupdf.open()
        page = document.new_page(width=430, height=650)
        page.insert_text((130, 48), "OF THE OLD GRANARIES", fontsize=8, fontname="tiro")
        page.insert_text((370, 48), str(311 + at), fontsize=9, fontname="tiro")
        page.insert_textbox((50, 80, 380, 620), " ".join(lines), fontsize=11, fontname="tiro", align=3)
        made = Made(f"old_scan_{at}", "old_scans", scanned(document, dpi, angle, blur, bend, noise=9.0))
        for line in lines[1:12:3]:
            made.test("present", text=line[:45], max_diffs=3)
        made.test("absent", text="OF THE OLD GRANARIES", max_diffs=2)
        made.test("order", before=lines[0][:35], after=lines[5][:35], max_diffs=3)
        yield made


def spreads(chance: random.Random) -> Iterator[Made]:
    """Two pages of an open book on one scan, the halves turned a little apart."""
    halves, lines = [], prose(chance, 36)
    for side in (0, 1):
        document = pymupdf.open()
        page = document.new_page(width=400, height=600)
        page.insert_textbox(
            (45, 70, 365, 560), " ".join(lines[18 * side : 18 * side + 18]), fontsize=11, fontname="tiro"
        )
        page.insert_text((195, 585), str(96 + side), fontsize=9, fontname="tiro")
        halves.append(_picture(document, 150, (1.6, -1.4)[side], 0.5, 0.0, 5.0))
    height = min(half.shape[0] for half in halves)
    made = Made("spread", "old_scans", _pdf_of(np.concatenate([half[:height] for half in halves], axis=1), 150))
    for one in range(0, 30, 4):
        made.test("order", before=lines[one][:35], after=lines[one + 3][:35], max_diffs=3)
    yield made


def layers(chance: random.Random) -> Iterator[Made]:
    """Text layers that do not say what the page shows: of another page, shifted, with letters exchanged."""
    lines = prose(chance, 20)
    other = " ".join(prose(chance, 20)).split()
    chance.shuffle(other)
    document = pymupdf.open()
    document.new_page(width=500, height=700).insert_textbox((50, 60, 450, 650), " ".join(lines), fontsize=11)
    letters = "abcdefghijklmnopqrstuvwxyz"
    moved = str.maketrans(letters, letters[7:] + letters[:7])
    for name, layer in (("other", " ".join(other)), ("letters", " ".join(lines).translate(moved))):
        scan = pymupdf.open(stream=scanned(document, dpi=150))
        scan[0].insert_textbox((50, 60, 450, 650), layer, fontsize=11, render_mode=3)
        made = Made(f"layer_{name}", "text_layers", scan.tobytes())
        for line in lines[1:18:4]:
            made.test("present", text=line[:45], max_diffs=2)
        yield made


def pictures(chance: random.Random) -> Iterator[Made]:
    """Text on a page whose pictures hold text: a screenshot between two paragraphs."""
    lines, inside = prose(chance, 12), prose(chance, 6)
    shot = pymupdf.open()
    screen = shot.new_page(width=400, height=150)
    screen.draw_rect(screen.rect, fill=(0.9, 0.94, 1))
    screen.insert_textbox((12, 12, 390, 145), "\n".join(inside), fontsize=8.5)
    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    page.insert_htmlbox((60, 60, 535, 250), f"<p>{' '.join(lines[:6])}</p>")
    page.insert_image((60, 260, 535, 438), pixmap=screen.get_pixmap(dpi=150))
    page.insert_htmlbox((60, 450, 535, 700), f"<p>{' '.join(lines[6:])}</p>")
    made = Made("screenshot", "pictures", document.tobytes())
    for line in inside[:4]:
        made.test("present", text=line[:45], max_diffs=2)
    made.test("order", before=lines[2][:40], after=inside[1][:40], max_diffs=3)
    made.test("order", before=inside[1][:40], after=lines[8][:40], max_diffs=3)
    yield made


_FORMULAS = [
    r"E = m c^{2}",
    r"\frac{a + b}{c - d} = \alpha_{1}",
    r"\sum_{i=1}^{n} x_{i}^{2} \le \lambda",
    r"\int_{0}^{\infty} e^{-x^{2}} d x = \frac{\sqrt{\pi}}{2}",
    r"f(x) = \frac{1}{\sigma \sqrt{2 \pi}} e^{- \frac{(x - \mu)^{2}}{2 \sigma^{2}}}",
    r"\nabla \cdot \mathbf{E} = \frac{\rho}{\epsilon_{0}}",
    r"\lim_{n \to \infty} a_{n} = 0",
    r"\| A x \|_{2} \le \| A \| \| x \|_{2}",
    r"P(A | B) = \frac{P(B | A) P(A)}{P(B)}",
    r"\theta_{t + 1} = \theta_{t} - \eta \nabla L(\theta_{t})",
    r"x \in \mathbb{R}^{n}",
    r"\prod_{k=1}^{m} (1 + q_{k})",
    r"\hat{y} = \beta_{0} + \beta_{1} x",
    r"\partial_{t} u = \Delta u + \mathcal{F}(u)",
    r"g_{\mu \nu} = \eta_{\mu \nu} + h_{\mu \nu}",
    r"\sqrt{x^{2} + y^{2}} \ge 0",
]


def formulas(chance: random.Random) -> Iterator[Made]:
    for at in range(4):
        chosen = _FORMULAS[4 * at : 4 * at + 4]
        parts = []
        for index, formula in enumerate(chosen):
            shown = rf"\[{formula}\]" if index % 2 == 0 else rf"\begin{{equation}}{formula}\end{{equation}}"
            inline = chosen[(index + 1) % 4]
            parts.append(f"{sentence(chance)} {shown} {sentence(chance)} Here ${inline}$ holds. {sentence(chance)}")
        columns = ",twocolumn" if at % 2 else ""
        made = Made(f"formulas_{at}", "math", latex("\n\n".join(parts), _AMS, f"10pt{columns}"))
        for formula in chosen:
            made.test("math", math=formula)
        yield made


def scanned(
    document: pymupdf.Document, dpi: int, angle: float = 0.0, blur: float = 0.4, bend: float = 0.0, noise: float = 4.0
) -> bytes:
    """A PDF that holds a picture of the document's first page."""
    return _pdf_of(_picture(document, dpi, angle, blur, bend, noise), dpi)


def _picture(document: pymupdf.Document, dpi: int, angle: float, blur: float, bend: float, noise: float) -> np.ndarray:
    pixmap = document[0].get_pixmap(dpi=dpi)
    image = Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)
    pixels = np.asarray(image)
    if bend:
        rows, across = np.indices(pixels.shape[:2])
        shift = bend * np.sin(np.pi * across / pixels.shape[1])
        pixels = pixels[np.clip(rows + shift.astype(int), 0, pixels.shape[0] - 1), across]
    image = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(blur))
    image = image.rotate(angle, expand=True, fillcolor=(255, 255, 255), resample=Image.Resampling.BICUBIC)
    grain = np.random.default_rng(7).normal(0, noise, (*np.asarray(image).shape[:2], 1))
    paper = np.asarray(image).astype(np.float32) * np.array([0.93, 0.9, 0.8]) + 12 + grain
    return np.clip(paper, 0, 255).astype(np.uint8)


def _pdf_of(pixels: np.ndarray, dpi: int) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "JPEG", quality=70)
    document = pymupdf.open()
    page = document.new_page(width=pixels.shape[1] * 72 / dpi, height=pixels.shape[0] * 72 / dpi)
    page.insert_image(page.rect, stream=packed.getvalue())
    return document.tobytes()


def make(seed: int = 20) -> Iterator[Made]:
    """Every document that can be made here. The same seed makes the same text."""
    with_tex = shutil.which("pdflatex") is not None
    if not with_tex:
        print("pdflatex is not installed: no journal pages, columns or formulas", file=sys.stderr)
    for maker in (heads, html_heads, columns, tables, tiny, scans, spreads, layers, pictures, formulas):
        if with_tex or maker not in (heads, columns, tables, formulas):
            yield from maker(random.Random(f"{seed} {maker.__name__}"))


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "tests.jsonl").open("w") as tests:
        for made in make():
            (folder / f"{made.name}.pdf").write_bytes(made.data)
            for test in made.tests:
                tests.write(json.dumps({"pdf": f"{made.name}.pdf", "kind": made.kind, **test}) + "\n")


if __name__ == "__main__":
    main()
