"""Make the message catalogues of page and console: a `.mo` from each `.po` that a translator wrote: `make catalogue`.

The `.po` files of one language in one folder belong together: they say all sentences of that folder's sources. What the
console says of the page's own sentences stands in the page's catalogue. A sentence without a translation, one that
nobody says any more, and one whose placeholders differ are errors. With --check nothing is written, and a `.mo` that
differs is an error too.
"""

from __future__ import annotations

import ast
import re
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from inference.domain import ADVICE_TEXT, REASON_TEXT, REMARK_TEXT

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "sr_templates"
CONSOLE = ROOT / "dicom_node" / "web"

SAYING = frozenset({"message", "words"})
"""A call of these with a sentence as its first argument is where the sentence comes from."""

IN_TEMPLATE = re.compile(r"""\b_\(\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")
"""`_("sentence"` in a template."""

PLACEHOLDER = re.compile(r"\{(\w+)\}")
MO_MAGIC = 0x950412DE
ENTRY = re.compile(r'^msgid ((?:".*"\n)+)msgstr ((?:".*"\n)+)', re.MULTILINE)


def sentences() -> frozenset[str]:
    """Every English sentence that the page may say."""
    found = {sentence for path in sorted(PAGE.rglob("*.py")) for sentence in _said_in(path)}
    return frozenset(found.union(*(texts.values() for texts in (ADVICE_TEXT, REASON_TEXT, REMARK_TEXT))))


def console_sentences() -> frozenset[str]:
    """Every English sentence that only the console may say."""
    found = {sentence for path in sorted(CONSOLE.rglob("*.py")) for sentence in _said_in(path)}
    for path in sorted(CONSOLE.rglob("*.html")):
        found |= {double or single for double, single in IN_TEMPLATE.findall(path.read_text(encoding="utf-8"))}
    return frozenset(found - sentences())


def _said_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args and _name(node.func) in SAYING:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def _name(function: ast.expr) -> str:
    """`words` of `words(...)`, `report.words(...)` and `flow.words(...)`."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def read_po(text: str) -> dict[str, str]:
    """Sentence and translation of each entry; the header is the entry of the empty sentence.

    Raises:
        ValueError: a sentence stands there twice.
    """
    entries: dict[str, str] = {}
    for written in ENTRY.finditer(text):
        sentence, translation = (_joined(part) for part in written.groups())
        if sentence in entries:
            raise ValueError(f"twice: {sentence}")
        entries[sentence] = translation
    return entries


def _joined(lines: str) -> str:
    return "".join(ast.literal_eval(line) for line in lines.splitlines())


def faults(entries: Mapping[str, str], said: frozenset[str] | None = None) -> list[str]:
    """What keeps a catalogue from being complete; empty for a good one. `said` None: what the page says."""
    said = sentences() if said is None else said
    translated = {sentence: text for sentence, text in entries.items() if sentence}
    return [
        *(f"not translated: {sentence}" for sentence in sorted(said - translated.keys())),
        *(f"said nowhere: {sentence}" for sentence in sorted(translated.keys() - said)),
        *(f"empty: {sentence}" for sentence, text in translated.items() if not text.strip()),
        *(
            f"other placeholders: {sentence}"
            for sentence, text in translated.items()
            if sorted(PLACEHOLDER.findall(sentence)) != sorted(PLACEHOLDER.findall(text))
        ),
    ]


def compiled(entries: Mapping[str, str]) -> bytes:
    """The entries as a GNU .mo file, little endian, without a hash table (gettext manual, 10.3)."""
    pairs = [(sentence.encode(), text.encode()) for sentence, text in entries.items()]
    pairs.sort()
    tables, texts = [b"", b""], b""
    begin = 7 * 4 + 2 * 8 * len(pairs)
    for column in (0, 1):
        for pair in pairs:
            tables[column] += struct.pack("<II", len(pair[column]), begin + len(texts))
            texts += pair[column] + b"\0"
    head = struct.pack("<7I", MO_MAGIC, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, begin)
    return head + b"".join(tables) + texts


def main(arguments: list[str]) -> int:
    wrong: list[str] = []
    for sources, said in ((PAGE, sentences()), (CONSOLE, console_sentences())):
        for folder in sorted({path.parent for path in (sources / "locale").rglob("*.po")}):
            wrong += _folder(folder, said, write=arguments != ["--check"])
    for fault in wrong:
        print(fault, file=sys.stderr)
    return 1 if wrong else 0


def _folder(folder: Path, said: frozenset[str], *, write: bool) -> list[str]:
    """The catalogues of one language: what is wrong with them; their .mo files are written if nothing is."""
    read = {path: read_po(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.po"))}
    told = [sentence for entries in read.values() for sentence in entries if sentence]
    wrong = [f"in two files: {sentence}" for sentence in sorted({one for one in told if told.count(one) > 1})]
    wrong += faults({sentence: text for entries in read.values() for sentence, text in entries.items()}, said)
    for path, entries in read.items():
        made, target = compiled(entries), path.with_suffix(".mo")
        if write and not wrong:
            target.write_bytes(made)
        elif not target.is_file() or target.read_bytes() != made:
            wrong.append(f"{target.name} is not that of its .po")
    return [f"{folder.relative_to(ROOT)}: {fault}" for fault in wrong]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
