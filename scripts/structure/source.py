"""Reads Rust source as far as the structure check needs it: which modules a file has, what they
define, import and name, and how long its functions are. What only tests compile is left out."""

import re
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = re.compile(
    r"""
    (?P<skipped>
        //[^\n]*
      | b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^\\'])'        # a character, before a lifetime
      | '\w+
      | \d\w*
    )
  | (?P<comment>/\*)
  | [bc]?r(?P<hashes>\#*)"(?P<raw>.*?)"(?P=hashes)
  | [bc]?"(?P<string>(?:[^"\\]|\\.)*)"
  | (?P<word>(?:r\#)?[^\W\d]\w*)
  | (?P<mark>::|\S)
    """,
    re.DOTALL | re.VERBOSE,
)
COMMENT_EDGE = re.compile(r"/\*|\*/")
# A path that an attribute names in a string, as in `#[serde(with = "crate::clock")]`.
QUOTED_PATH = re.compile(r"(?:crate|super|self)(?:::\w+)+")
TYPES = {"struct", "enum", "trait", "type"}
VALUES = {"const", "static"}
# An item that begins with one of these ends with `;`, whatever braces it has.
ENDED_BY_SEMICOLON = {"use", "const", "static", "type", "let"}
ITEMS = TYPES | VALUES | {"use", "let", "mod", "fn", "impl", "unsafe", "async", "extern", "macro_rules"}
OPENING = {"{": "}", "(": ")", "[": "]"}
CLOSING = set(OPENING.values())


@dataclass(frozen=True, slots=True)
class Import:
    """One path of a `use` declaration."""

    path: tuple[str, ...]  # without the `*` of a glob
    name: str  # what it is called here; "*" for a glob
    public: bool
    line: int


@dataclass(slots=True)
class Module:
    """A file's own module, or one written inside it."""

    path: tuple[str, ...]
    file: Path
    defined: dict[str, int] = field(default_factory=dict)  # names of items, and their lines
    children: set[str] = field(default_factory=set)
    imports: list[Import] = field(default_factory=list)
    paths: dict[tuple[str, ...], int] = field(default_factory=dict)  # first line of each
    words: dict[str, int] = field(default_factory=dict)  # first line of each


@dataclass(frozen=True, slots=True)
class Type:
    name: str
    line: int
    module: tuple[str, ...] | None  # nothing for one inside a function


@dataclass(slots=True)
class Source:
    """What one file has."""

    modules: list[Module]
    types: list[Type]
    functions: list[tuple[str, int, int]]  # name, first and last line
    test_modules: set[tuple[str, ...]]  # declared here, compiled for tests only


def tokens(text):
    """The words and marks of `text` with their lines; neither comments nor literals."""
    found, at, line, counted = [], 0, 1, 0
    while match := TOKEN.search(text, at):
        start, at = match.span()
        line += text.count("\n", counted, start)
        counted = start
        kind = match.lastgroup
        if kind in ("word", "mark"):
            found.append((match.group().removeprefix("r#"), line))
        elif kind == "string" and QUOTED_PATH.fullmatch(match["string"]):
            found.extend((part, line) for part in re.findall(r"\w+|::", match["string"]))
        elif kind == "comment":
            depth = 1
            while depth and (edge := COMMENT_EDGE.search(text, at)):
                depth += 1 if edge.group() == "/*" else -1
                at = edge.end()
            if depth:
                at = len(text)
    return found


class Reader:
    """One pass over a file's tokens."""

    def __init__(self, text, path, file):
        self.tokens = tokens(text)
        self.at = 0
        self.module = Module(path, file)
        self.source = Source([self.module], [], [], set())
        # For each open brace, what closing it ends: a kind, and what belongs to it.
        self.open = []
        # What the next brace at this depth of brackets will open.
        self.next_brace = None
        self.brackets = 0

    def word(self, ahead=0):
        at = self.at + ahead
        return self.tokens[at][0] if 0 <= at < len(self.tokens) else ""

    def is_name(self, ahead=0):
        word = self.word(ahead)
        return word[:1].isalpha() or word[:1] == "_"

    def line(self):
        return self.tokens[self.at][1]

    def read(self):
        while self.at < len(self.tokens):
            self.step()
        return self.source

    def step(self):
        word = self.word()
        if word == "#":
            self.attribute()
        elif word == "use" and self.word(1) != "<":
            self.use()
        elif word in OPENING:
            self.opened(word)
        elif word in CLOSING:
            self.closed(word)
        elif word == ";":
            self.at += 1
            if self.next_brace and self.next_brace[-1] == self.brackets:
                self.next_brace = None
        elif word == "pub" and self.word(1) == "(":
            self.at = self.after_bracket(self.at + 1)
        elif self.is_name():
            self.named(word)
        else:
            self.at += 1

    def named(self, word):
        if self.declares(word):
            self.at += 2
        elif word == "macro_rules" and self.word(1) == "!":
            self.module.defined[self.word(2)] = self.line()
            self.next_brace = ("macro", self.brackets)
            self.at += 3
        else:
            if word in ("impl", "trait") and not self.next_brace:
                self.next_brace = ("associated", self.brackets)
            self.path()

    def declares(self, word):
        """Takes note of an item that begins here with its keyword and its name."""
        if not self.is_name(1) or any(kind == "macro" for kind, *_ in self.open):
            return False
        name, line = self.word(1), self.line()
        if word == "mod":
            if self.word(2) == ";":
                self.module.children.add(name)
            else:
                self.next_brace = ("module", name, self.brackets)
        elif word == "fn":
            self.define(name, line)
            self.next_brace = ("function", name, line, self.brackets)
        elif word in TYPES:
            if word == "type" and self.open and self.open[-1][0] == "associated":
                return True
            is_item = self.define(name, line)
            self.source.types.append(Type(name, line, self.module.path if is_item else None))
            self.next_brace = ("associated" if word == "trait" else "type", self.brackets)
        elif word in VALUES and name not in ("fn", "mut", "unsafe", "async", "extern"):
            self.define(name, line)
        else:
            return False
        return True

    def define(self, name, line):
        is_item = not self.open or self.open[-1][0] == "module"
        if is_item:
            self.module.defined[name] = line
        return is_item

    def path(self):
        """A path in an expression, a type or a pattern; a single word is one too."""
        line, start, parts = self.line(), self.at, [self.word()]
        self.at += 1
        while self.word() == "::" and self.is_name(1):
            parts.append(self.word(1))
            self.at += 2
        before = self.tokens[start - 1][0] if start else ""
        if before == "::":  # Goes on after `<…>`, or belongs to another crate.
            return
        self.module.words.setdefault(parts[0], line)
        if len(parts) > 1:
            self.module.paths.setdefault(tuple(parts), line)

    def opened(self, word):
        self.at += 1
        if word != "{":
            self.brackets += 1
            return
        opens = ("block",)
        if self.next_brace and self.next_brace[-1] == self.brackets:
            opens, self.next_brace = self.next_brace, None
        if opens[0] == "module":
            outer = self.module
            outer.children.add(opens[1])
            self.module = Module(outer.path + (opens[1],), outer.file)
            self.source.modules.append(self.module)
            opens = ("module", outer)
        self.open.append(opens)

    def closed(self, word):
        line = self.line()
        self.at += 1
        if word != "}":
            self.brackets = max(0, self.brackets - 1)
        elif self.open:
            kind, *rest = self.open.pop()
            self.next_brace = None
            if kind == "module":
                self.module = rest[0]
            elif kind == "function":
                self.source.functions.append((rest[0], rest[1], line))

    def after_bracket(self, at):
        """Where to go on after the bracket that opens at `at`."""
        depth = 0
        while at < len(self.tokens):
            word = self.tokens[at][0]
            depth += (word in OPENING) - (word in CLOSING)
            at += 1
            if depth == 0:
                break
        return at

    def attribute(self):
        inner = self.word(1) == "!"
        start = self.at + 1 + inner
        if start >= len(self.tokens) or self.tokens[start][0] != "[":
            self.at += 1
            return
        end = self.after_bracket(start)
        words = [word for word, _ in self.tokens[start + 1 : end - 1]]
        if not is_for_tests(words):
            # Its paths count, as in `#[derive(crate::Name)]`.
            self.at = start
        elif inner:
            self.skip_module()
        else:
            self.at = end
            self.skip_item()

    def skip_module(self):
        """The rest of the module that a `#![cfg(test)]` stands in."""
        if self.open:
            while self.at < len(self.tokens) and self.word() != "}":
                self.at = self.after_bracket(self.at) if self.word() in OPENING else self.at + 1
        else:
            self.source.test_modules.add(self.module.path)
            self.at = len(self.tokens)

    def skip_item(self):
        while self.word() == "#":
            self.at = self.after_bracket(self.at + 1)
        if self.word() == "pub":
            self.at += 1
            if self.word() == "(":
                self.at = self.after_bracket(self.at)
        first = self.word()
        if first == "mod" and self.word(2) == ";":
            self.source.test_modules.add(self.module.path + (self.word(1),))
        whole = first in ITEMS
        braces_end = whole and not (first in ENDED_BY_SEMICOLON and self.word(1) != "fn")
        while self.at < len(self.tokens):
            word = self.word()
            if word in CLOSING:  # The last field or arm of what is around it.
                return
            self.at = self.after_bracket(self.at) if word in OPENING else self.at + 1
            if word == ";" or (word == "," and not whole) or (word == "{" and braces_end):
                return

    def use(self):
        public = self.is_public()
        self.at += 1
        if self.word() == "::":  # Another crate, whatever is called the same here.
            while self.word() not in (";", ""):
                self.at += 1
            return
        self.tree((), public)

    def is_public(self):
        at = self.at - 1
        if at >= 0 and self.tokens[at][0] == ")":
            while at > 0 and self.tokens[at][0] != "(":
                at -= 1
            at -= 1
        return at >= 0 and self.tokens[at][0] == "pub"

    def tree(self, prefix, public):
        """One branch of a `use` declaration, up to what ends it."""
        path, line = prefix, self.tokens[min(self.at, len(self.tokens) - 1)][1]
        while True:
            word = self.word()
            if word == "{":
                self.at += 1
                while self.word() not in ("}", ""):
                    self.tree(path, public)
                    if self.word() == ",":
                        self.at += 1
                self.at += 1
                return
            if word == "*":
                self.module.imports.append(Import(path, "*", public, line))
                self.at += 1
                return
            if not self.is_name():
                break
            if word == "as":
                name = self.word(1)
                self.at += 2
                self.module.imports.append(Import(path, name, public, line))
                return
            if not (word == "self" and path):
                path, line = path + (word,), self.line()
            self.at += 1
            if self.word() == "::":
                self.at += 1
        if path:
            self.module.imports.append(Import(path, path[-1], public, line))
        elif self.word() not in (";", ",", "}"):
            self.at += 1  # Not a path: a macro's variable.


def is_for_tests(words):
    """Whether an attribute leaves its item out of everything but tests."""
    if words[:2] == ["cfg", "("]:
        return words[2] == "test" or (words[2] == "all" and "test" in words and "not" not in words)
    path = [word for word in words if word != "::"]
    return bool(path) and "(" not in path[:-1] and path[-1] == "test" and "=" not in path


def read(text, path, file):
    return Reader(text, path, file).read()
