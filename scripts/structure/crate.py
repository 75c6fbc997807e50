"""A crate as files that use each other: resolves every import and path to the file that defines
what is named. Re-exports are followed; a parent that passes on what its children have does not
use them."""

from collections import defaultdict

import source

ROOTS = ("lib", "main")


class Crate:
    def __init__(self, name, folder):
        self.name = name
        self.folder = folder  # its `src`
        self.root = next((root for root in ROOTS if (folder / f"{root}.rs").is_file()), None)
        self.files = {}  # the path of a file's module: what the file has
        self.paths = {}  # the file: the path of its module
        self.modules = {}
        tests = set()
        for file in sorted(folder.rglob("*.rs")):
            path = self.module_path(file)
            self.paths[file] = path
            self.files[path] = source.read(file.read_text(encoding="utf-8"), path, file)
            tests |= {self.without_root(test) for test in self.files[path].test_modules}
        for path in list(self.files):
            if any(path[: len(test)] == test for test in tests):
                del self.files[path]
            else:
                for module in self.files[path].modules:
                    module.path = self.without_root(module.path)
                    self.modules[module.path] = module
        self.imported = {
            path: {one.name: one for one in module.imports if one.name not in ("*", "_")}
            for path, module in self.modules.items()
        }
        self.edges = defaultdict(lambda: defaultdict(list))  # from file to file: line and name
        for module in self.modules.values():
            self.link(module)

    def module_path(self, file):
        """`("a", "b")` for `a/b.rs` and for `a/b/mod.rs`; `("lib",)` for the root."""
        parts = list(file.relative_to(self.folder).with_suffix("").parts)
        if len(parts) > 1 and parts[-1] == "mod":
            parts.pop()
        return tuple(parts)

    def without_root(self, path):
        """What is written inside the root is its child, like a file beside it."""
        return path[1:] if len(path) > 1 and path[0] == self.root else path

    def root_of(self, path):
        """The root whose `crate::` a module means: a program beside a library has its own."""
        for program in (path[:1], path[:2]):
            if program in (("main",), ("bin", *program[1:])) and program in self.files:
                return program
        return (self.root,)

    def place(self, module, name):
        """The child module `name` of `module`, if there is one."""
        path = (name,) if module == (self.root,) else module + (name,)
        return path if path in self.modules and path != (self.root,) else None

    def parent(self, path):
        return path[:-1] or (self.root,)

    def link(self, module):
        for one in module.imports:
            # What passes on its children's names does not use them itself.
            start = self.absolute(module.path, one.path)
            if start is None or (one.public and self.is_below(module, start)):
                continue
            if one.name == "*":
                self.link_glob(module, one, start)
            else:
                self.add(module, self.resolve(*start), one.line)
        for path, line in module.paths.items():
            start = self.absolute(module.path, path)
            if start is not None:
                self.add(module, self.resolve(*start), line)

    def is_below(self, module, start):
        base, rest = start
        child = self.place(base, rest[0]) if rest else base
        inside = () if module.path == (self.root,) else module.path
        return child is not None and child[: len(inside)] == inside and child != module.path

    def link_glob(self, module, one, start):
        """A glob uses what it brings of the words in the module; if none is known, the whole."""
        target, name = self.resolve(*start)
        if name is not None:  # The variants of an enum.
            return self.add(module, (target, name), one.line)
        if target is None:
            return None
        own = module.defined.keys() | self.imported[module.path].keys()
        found = False
        for word, line in module.words.items():
            if word not in own and (to := self.exported(target, word, set())):
                self.add(module, to, line)
                found = True
        if not found:
            self.add(module, (target, "*"), one.line)
        return None

    def add(self, module, to, line):
        target, name = to
        if target is None or name is None:  # Outside of the crate; or a module, of which paths tell more.
            return
        here, there = self.paths[module.file], self.paths[self.modules[target].file]
        if here != there:
            self.edges[here][there].append((line, name))

    def absolute(self, module, path):
        """Where to begin, and the names to go from there; nothing for another crate."""
        first, rest = path[0] if path else "self", list(path[1:])
        if first == "crate":
            return self.root_of(module), rest
        if first == self.name and not self.place(module, first):
            return (self.root,), rest
        if first in ("self", "super"):
            here = module if first == "self" else self.parent(module)
            while rest and rest[0] == "super":
                here, rest = self.parent(here), rest[1:]
            return here, rest
        if self.place(module, first) or first in self.modules[module].defined:
            return module, list(path)
        if (one := self.imported[module].get(first)) and one.path != path:
            start = self.absolute(module, one.path)
            return start and (start[0], start[1] + rest)
        for one in self.modules[module].imports:
            if one.name == "*" and one.path[:1] in (("crate",), ("self",), ("super",)):
                target, inner = self.resolve(*self.absolute(module, one.path))
                if target and inner is None and self.place(target, first):
                    return target, list(path)
        return None

    def resolve(self, base, names, seen=None):
        """The module that defines what the path ends in, and its name there; the name is nothing
        where the path ends in a module."""
        if base not in self.modules:
            return None, None
        seen = seen if seen is not None else set()
        for at, name in enumerate(names):
            last = at == len(names) - 1
            child = self.place(base, name)
            if child and not (last and self.has_item(base, name)):
                base = child
                continue
            to, inner = self.exported(base, name, seen) or (base, name)
            if inner is None:  # A module under another name.
                return self.resolve(to, names[at + 1 :], seen) if to else (None, None)
            return to, inner
        return base, None

    def has_item(self, module, name):
        one = self.imported[module].get(name)
        return name in self.modules[module].defined or (one is not None and one.public)

    def exported(self, module, name, seen):
        """What others get when they name `name` in `module`."""
        if (module, name) in seen or module not in self.modules:
            return None
        seen.add((module, name))
        if name in self.modules[module].defined:
            return module, name
        one = self.imported[module].get(name)
        if one is not None and one.public:
            start = self.absolute(module, one.path)
            return self.resolve(*start, seen) if start else (None, None)
        for one in self.modules[module].imports:
            if one.name == "*" and one.public and (start := self.absolute(module, one.path)):
                target, inner = self.resolve(*start, seen)
                if target and inner is None and (to := self.exported(target, name, seen)):
                    return to
        return None

    def rings(self):
        """The groups of files in which each leads to each other (Tarjan's components)."""
        number, low, stack, found = {}, {}, [], []
        for start in sorted(self.files):
            if start not in number:
                self.visit(start, number, low, stack, found)
        return found

    def visit(self, start, number, low, stack, found):
        number[start] = low[start] = len(number)
        stack.append(start)
        work = [(start, iter(sorted(self.edges[start])))]
        while work:
            here, following = work[-1]
            for there in following:
                if there not in number:
                    number[there] = low[there] = len(number)
                    stack.append(there)
                    work.append((there, iter(sorted(self.edges[there]))))
                    break
                if there in stack:
                    low[here] = min(low[here], number[there])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[here])
                if low[here] == number[here]:
                    ring = stack[stack.index(here) :]
                    del stack[stack.index(here) :]
                    if len(ring) > 1:
                        found.append(sorted(ring))

    def shortest_ring(self, group):
        """The files of one shortest ring in a group, in order, the first one again at the end."""
        rings = [ring for start in group if (ring := self.ring_through(start, set(group)))]
        return min(rings, key=len)

    def ring_through(self, start, group):
        before, waiting = {}, [start]
        while waiting:
            here = waiting.pop(0)
            for there in sorted(self.edges[here].keys() & group):
                if there == start:
                    ring = [start, here] if here != start else [start]
                    while here in before and before[here] != start:
                        here = before[here]
                        ring.append(here)
                    return [start, *reversed(ring)]
                if there not in before:
                    before[there] = here
                    waiting.append(there)
        return None
