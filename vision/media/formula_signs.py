"""What a glyph of a formula is in LaTeX, by its character and its font: tables, and no more."""

from __future__ import annotations

import re
import unicodedata

MATH_FONT = re.compile(
    r"CMMI|CMSY|CMEX|CMBSY|CMMIB|MSAM|MSBM|EUFM|EUSM|RSFS|EUEX|LMMath|LMMI|LMSY|LMEX|MathJax|"
    r"(?:STIX|XITS|Cambria|Asana|Libertinus|TeXGyre|Pagella|Termes|Latin ?Modern).*Math|"
    r"MTMI|MTSY|MTEX|MTGU|Euclid(?:Symbol|Extra|Math)|(?:NewTX|tx|px)(?:mi|sy|ex|mia|sya)|MTPro|rtxmi|zplm|zptm",
    re.IGNORECASE,
)
EXTENSION_FONT = re.compile(r"CMEX|LMEX|MTEX|EUEX|txex|pxex", re.IGNORECASE)
"""Fonts whose large signs hang below their origin, and whose codes are no characters."""

_SCRIPT_FONT = re.compile(r"CMSY|LMSY|EUSM|RSFS|CMBSY|MTSY", re.IGNORECASE)
_DOUBLE_FONT = re.compile(r"MSBM|MSYM", re.IGNORECASE)
_FRAKTUR_FONT = re.compile(r"EUFM|EUFB", re.IGNORECASE)
_BOLD_ITALIC_FONT = re.compile(r"CMMIB|LMMathItalic.*Bold", re.IGNORECASE)
_BOLD_FONT = re.compile(r"CMBX|Bold|LMRoman.*Bold|-Bd", re.IGNORECASE)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FUNCTIONS = frozenset(
    _words(
        "lim max min sup inf sin cos tan cot sec csc log ln exp det dim ker gcd arg deg hom Pr sinh cosh tanh arcsin "
        "arccos arctan limsup liminf"
    )
)
LIMITED = frozenset(_words("lim max min sup inf det gcd Pr limsup liminf"))

_NAMES = _words(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau "
    "upsilon phi chi psi omega"
)
_GREEK = {chr(0x3B1 + at): f"\\{name}" for at, name in enumerate(_NAMES) if name != "omicron"}
_CAPITALS = {
    "Γ": "\\Gamma", "Δ": "\\Delta", "∆": "\\Delta", "Θ": "\\Theta", "Λ": "\\Lambda", "Ξ": "\\Xi", "Π": "\\Pi",
    "Σ": "\\Sigma", "Υ": "\\Upsilon", "Φ": "\\Phi", "Ψ": "\\Psi", "Ω": "\\Omega", "\u2126": "\\Omega",
}  # fmt: skip
_SIGNS = {
    "ϵ": "\\epsilon", "ε": "\\varepsilon", "ϑ": "\\vartheta", "ϕ": "\\phi", "φ": "\\varphi", "ϱ": "\\varrho",
    "ϖ": "\\varpi", "µ": "\\mu", "−": "-", "±": "\\pm", "∓": "\\mp", "×": "\\times", "÷": "\\div", "·": "\\cdot",
    "⋅": "\\cdot", "∗": "*", "⋆": "\\star", "∘": "\\circ", "◦": "\\circ", "∙": "\\bullet", "•": "\\bullet",
    "⊕": "\\oplus", "⊖": "\\ominus", "⊗": "\\otimes", "⊙": "\\odot", "∧": "\\wedge", "∨": "\\vee", "∩": "\\cap",
    "∪": "\\cup", "⊎": "\\uplus", "⊔": "\\sqcup", "⊓": "\\sqcap", "≤": "\\le", "⩽": "\\leqslant", "≥": "\\ge",
    "⩾": "\\geqslant", "≪": "\\ll", "≫": "\\gg", "≠": "\\ne", "≡": "\\equiv", "∼": "\\sim", "≃": "\\simeq",
    "≈": "\\approx", "≅": "\\cong", "≍": "\\asymp", "∝": "\\propto", "≺": "\\prec", "≻": "\\succ", "⪯": "\\preceq",
    "≲": "\\lesssim", "≳": "\\gtrsim", "≜": "\\triangleq", "⊂": "\\subset", "⊃": "\\supset", "⊆": "\\subseteq",
    "⊇": "\\supseteq", "⊊": "\\subsetneq", "∈": "\\in", "∋": "\\ni", "∉": "\\notin", "∅": "\\emptyset",
    "∞": "\\infty", "∂": "\\partial", "∇": "\\nabla", "∀": "\\forall", "∃": "\\exists", "¬": "\\neg",
    "→": "\\to", "←": "\\leftarrow", "↔": "\\leftrightarrow", "⇒": "\\Rightarrow", "⇐": "\\Leftarrow",
    "⇔": "\\Leftrightarrow", "↦": "\\mapsto", "↑": "\\uparrow", "↓": "\\downarrow", "⟶": "\\longrightarrow",
    "↪": "\\hookrightarrow", "↗": "\\nearrow", "↘": "\\searrow", "⊤": "\\top", "⊥": "\\perp", "⊢": "\\vdash",
    "⊨": "\\models", "∥": "\\|", "‖": "\\|", "∣": "|", "∤": "\\nmid", "⟨": "\\langle", "⟩": "\\rangle",
    "〈": "\\langle", "〉": "\\rangle", "⌊": "\\lfloor", "⌋": "\\rfloor", "⌈": "\\lceil", "⌉": "\\rceil", "′": "'",
    "†": "\\dagger", "‡": "\\ddagger", "ℓ": "\\ell", "ℏ": "\\hbar", "ℜ": "\\Re", "ℑ": "\\Im", "ℵ": "\\aleph",
    "℘": "\\wp", "…": "\\ldots", "⋯": "\\cdots", "⋮": "\\vdots", "⋱": "\\ddots", "□": "\\square", "△": "\\triangle",
    "∠": "\\angle", "{": "\\{", "}": "\\}", "%": "\\%", "&": "\\&", "#": "\\#", "$": "\\$", "_": "\\_",
    "\\": "\\setminus", "∖": "\\setminus", "ı": "\\imath", "ȷ": "\\jmath", "§": "\\S", "∫": "\\int", "∮": "\\oint",
    "∑": "\\sum", "∏": "\\prod", "∐": "\\coprod", "√": "\\sqrt", "⋃": "\\bigcup", "⋂": "\\bigcap", "⨁": "\\bigoplus",
    "⨂": "\\bigotimes", "⋀": "\\bigwedge", "⋁": "\\bigvee", "∬": "\\iint", "∭": "\\iiint", "’": "'", "ˈ": "'",
}  # fmt: skip
_SETS = {"ℝ": "R", "ℂ": "C", "ℕ": "N", "ℤ": "Z", "ℚ": "Q", "ℙ": "P", "ℍ": "H", "𝔽": "F", "𝔼": "E"}
RELATIONS = frozenset("=<>≤≥≠≡∼≃≈≅∝≪≫∈∉⊂⊃⊆⊇→←↔⇒⇔↦+−±×")
OPERATORS = frozenset(
    _words("\\sum \\prod \\coprod \\bigcup \\bigcap \\bigoplus \\bigotimes \\bigwedge \\bigvee \\biguplus \\bigsqcup")
)
INTEGRALS = frozenset(_words("\\int \\oint \\iint \\iiint"))
ACCENTS = {
    "^": "\\hat", "ˆ": "\\hat", "˜": "\\tilde", "~": "\\tilde", "¯": "\\bar", "˙": "\\dot", "¨": "\\ddot", "⃗": "\\vec",
    "\u0302": "\\hat", "\u0303": "\\tilde", "\u0304": "\\bar", "\u0307": "\\dot", "\u0308": "\\ddot",
    "ˇ": "\\check", "˘": "\\breve", "´": "\\acute", "ˉ": "\\bar",
}  # fmt: skip

# The codes of TeX's extension fonts: the sign, and how far it hangs below its origin in sizes of the font.
_EXTENSION = {
    0x46: ("\\bigsqcup", 1.0), 0x47: ("\\bigsqcup", 1.4), 0x48: ("\\oint", 1.11), 0x49: ("\\oint", 2.22),
    0x4A: ("\\bigodot", 1.0), 0x4B: ("\\bigodot", 1.4), 0x4C: ("\\bigoplus", 1.0), 0x4D: ("\\bigoplus", 1.4),
    0x4E: ("\\bigotimes", 1.0), 0x4F: ("\\bigotimes", 1.4), 0x50: ("\\sum", 1.0), 0x51: ("\\prod", 1.0),
    0x52: ("\\int", 1.11), 0x53: ("\\bigcup", 1.0), 0x54: ("\\bigcap", 1.0), 0x55: ("\\biguplus", 1.0),
    0x56: ("\\bigwedge", 1.0), 0x57: ("\\bigvee", 1.0), 0x58: ("\\sum", 1.4), 0x59: ("\\prod", 1.4),
    0x5A: ("\\int", 2.22), 0x5B: ("\\bigcup", 1.4), 0x5C: ("\\bigcap", 1.4), 0x5D: ("\\biguplus", 1.4),
    0x5E: ("\\bigwedge", 1.4), 0x5F: ("\\bigvee", 1.4), 0x60: ("\\coprod", 1.0), 0x61: ("\\coprod", 1.4),
    0x62: ("\\hat", 0.0), 0x63: ("\\hat", 0.0), 0x64: ("\\hat", 0.0), 0x65: ("\\tilde", 0.0), 0x66: ("\\tilde", 0.0),
    0x67: ("\\tilde", 0.0), 0x70: ("\\sqrt", 1.2), 0x71: ("\\sqrt", 1.8), 0x72: ("\\sqrt", 2.4), 0x73: ("\\sqrt", 3.0),
    0x0C: ("|", 1.2), 0x0D: ("\\|", 1.2), 0x44: ("\\langle", 1.8), 0x45: ("\\rangle", 1.8), 0x68: ("[", 1.8),
    0x69: ("]", 1.8), 0x6E: ("\\{", 1.8), 0x6F: ("\\}", 1.8),
}  # fmt: skip
_PAIRS = ("(", ")", "[", "]", "\\lfloor", "\\rfloor", "\\lceil", "\\rceil", "\\{", "\\}", "\\langle", "\\rangle")
for _at, _sign in enumerate(_PAIRS):
    _EXTENSION[_at] = (_sign, 1.2)
    _EXTENSION[0x12 + _at] = (_sign, 2.4)
    _EXTENSION[0x20 + _at] = (_sign, 3.0)
_EXTENSION.update({0x10: ("(", 1.8), 0x11: (")", 1.8)})


def extension_sign(char: str) -> tuple[str, float] | None:
    """The LaTeX of a code of an extension font, and its depth below the origin in sizes; None where it is no sign."""
    code = ord(char)
    # Some fonts repeat their first codes from 161 on, where text may hold them.
    return _EXTENSION.get(code - 161 if 161 <= code <= 170 else code)


def sign(char: str, font: str) -> str:
    """The LaTeX of one character of a formula."""
    if char in _GREEK or char in _CAPITALS:
        return _GREEK.get(char) or _CAPITALS[char]
    if char in _SIGNS:
        return _SIGNS[char]
    if char in ACCENTS:
        return char
    if char in _SETS:
        return f"\\mathbb{{{_SETS[char]}}}"
    name = unicodedata.name(char, "") if ord(char) > 0x1D3FF else ""
    plain = unicodedata.normalize("NFKC", char)
    if name.startswith("MATHEMATICAL"):
        inner = _GREEK.get(plain) or _CAPITALS.get(plain) or plain
        style = (
            "\\mathbb" if "DOUBLE-STRUCK" in name else "\\mathcal" if "SCRIPT" in name else
            "\\mathfrak" if "FRAKTUR" in name else "\\mathbf" if "BOLD" in name else ""
        )  # fmt: skip
        return f"{style}{{{inner}}}" if style else inner
    if char.isascii() and char.isalpha():
        for pattern, style in (
            (_DOUBLE_FONT, "\\mathbb"), (_FRAKTUR_FONT, "\\mathfrak"), (_BOLD_ITALIC_FONT, "\\boldsymbol"),
            (_SCRIPT_FONT, "\\mathcal"), (_BOLD_FONT, "\\mathbf"),
        ):  # fmt: skip
            if pattern.search(font):
                return f"{style}{{{char}}}"
    return plain
