#!/usr/bin/env python3
"""Holds the repository against floors.toml: no import from a floor above, no ring of files, no long
function, few type names that mean several things. Lists all findings and fails if there is one.

usage: check.py [--report] [FOLDER]    --report: with every tie of a ring; does not fail"""

import argparse
import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

from crate import ROOTS, Crate

FLOORS = "scripts/structure/floors.toml"
DEPENDENCIES = ("dependencies", "build-dependencies", "dev-dependencies")


class Workspace:
    def __init__(self, root):
        self.root = root
        self.rules = toml(root / FLOORS)
        self.manifests = {}
        self.crates = {}
        for member in toml(root / "Cargo.toml")["workspace"]["members"]:
            manifest = toml(root / member / "Cargo.toml")
            name = manifest["package"]["name"]
            self.manifests[name] = (root / member / "Cargo.toml", manifest)
            self.crates[name] = Crate(name.replace("-", "_"), root / member / "src")
        self.findings = []

    def found(self, file, line, what, remedy):
        self.findings.append(f"{file.relative_to(self.root)}:{line}: {what}\n    → {remedy}")

    def found_in_rules(self, word, what, remedy):
        file = self.root / FLOORS
        self.found(file, line_of(file, rf'"[^"]*\b{re.escape(word)}\b|^{re.escape(word)}\b'), what, remedy)

    def check(self, every_tie=False):
        check_crates(self)
        for name, crate in self.crates.items():
            if name in self.rules["floors"]:
                check_floors(self, name, crate)
            check_rings(self, name, crate, every_tie)
        for name in self.rules["crates_of_short_functions"].split():
            check_functions(self, name)
        check_types(self, every_tie)
        return self.findings


def toml(file):
    return tomllib.loads(file.read_text(encoding="utf-8"))


def line_of(file, pattern):
    """The first line that matches, or the first of all."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return next((number for number, line in enumerate(lines, 1) if re.search(pattern, line)), 1)


def by_name(floors):
    return {name: level for level, names in enumerate(floors) for name in names.split()}


def check_crates(workspace):
    levels = by_name(workspace.rules["crates"])
    for_tests = workspace.rules["crates_for_tests"].split()
    for name in sorted(levels.keys() - workspace.manifests.keys()):
        workspace.found_in_rules(name, f"there is no crate {name}", "take it out of this file")
    for name, (file, manifest) in workspace.manifests.items():
        if name not in levels:
            workspace.found(file, 1, f"the crate {name} stands on no floor", f"give it one in {FLOORS}")
            continue
        for kind, other in dependencies(manifest, workspace.manifests):
            if kind == "dev-dependencies" and other in for_tests:
                continue
            if other in levels and levels[other] > levels[name]:
                line = line_of(file, rf"^{re.escape(other)}\b")
                workspace.found(
                    file,
                    line,
                    f"{name} depends on {other}, which stands on a floor above it",
                    f"move what {name} needs of it down to {name} or below",
                )


def dependencies(manifest, members):
    tables = [manifest, *manifest.get("target", {}).values()]
    for kind in DEPENDENCIES:
        for name, value in [pair for table in tables for pair in table.get(kind, {}).items()]:
            name = value.get("package", name) if isinstance(value, dict) else name
            if name in members:
                yield kind, name


def check_floors(workspace, name, crate):
    levels = by_name(workspace.rules["floors"][name])
    top = len(workspace.rules["floors"][name])
    used = set()

    def place(path):
        """The entry of floors.toml that a file belongs to: the longest that its path begins with."""
        for length in range(len(path), 0, -1):
            entry = "/".join(path[:length])
            if entry in levels:
                used.add(entry)
                return entry, levels[entry]
        return path[0], top if path[0] in (*ROOTS, "bin") else None

    places = {path: place(path) for path in crate.files}
    unknown = set()
    for path, (entry, level) in places.items():
        # A file that only declares modules and passes names on stands nowhere.
        if level is None and entry not in unknown and is_more_than_a_list(crate, path):
            unknown.add(entry)
            file = crate.modules[path].file
            workspace.found(file, 1, f"{name}/src/{entry} stands on no floor", f"give it one in {FLOORS}")
    for entry in sorted(levels.keys() - used):
        workspace.found_in_rules(entry, f"{name}/src has no {entry}", "take it out of this file")
    for path, following in crate.edges.items():
        entry, level = places[path]
        for other, ties in following.items():
            above, height = places[other]
            if level is not None and height is not None and height > level:
                line, item = min(ties)
                workspace.found(
                    crate.modules[path].file,
                    line,
                    f"{entry} uses {item} of {above}, which stands on a floor above it",
                    f"move {item} down, or what uses it up",
                )


def is_more_than_a_list(crate, path):
    return bool(crate.edges[path] or any(module.defined for module in crate.files[path].modules))


def check_rings(workspace, name, crate, every_tie):
    for group in crate.rings():
        ring = crate.shortest_ring(group)
        ties = list(zip(ring[:-1], ring[1:]))
        if every_tie:
            ties = [(here, there) for here in group for there in group if there in crate.edges[here]]
        lines = []
        for here, there in ties:
            line, _ = min(crate.edges[here][there])
            items = sorted({item for _, item in crate.edges[here][there]})
            file = crate.modules[here].file.relative_to(workspace.root)
            lines.append(f"    {file}:{line}: uses {', '.join(items[:6])} of {'/'.join(there)}")
        what = f"{len(group)} files of {name} use each other in a ring"
        if not every_tie and len(ring) - 1 < len(group):
            what += "; the shortest way around:"
        workspace.found(
            crate.modules[ring[0]].file,
            min(crate.edges[ring[0]][ring[1]])[0],
            what + "\n" + "\n".join(lines),
            "move what both ends of a tie need into a file that uses neither",
        )


def check_functions(workspace, name):
    limit = workspace.rules["longest_function"]
    crate = workspace.crates.get(name)
    for file in crate.files.values() if crate else ():
        for function, first, last in file.functions:
            if last - first + 1 > limit:
                workspace.found(
                    file.modules[0].file,
                    first,
                    f"the function {function} has {last - first + 1} lines, more than {limit}",
                    "split it where it does several things",
                )


def check_types(workspace, every_name):
    limit = workspace.rules["repeated_type_names"]
    places = defaultdict(list)
    for crate in workspace.crates.values():
        # One name in one module is one type, however many platforms have it in their own way.
        seen = set()
        for file in crate.files.values():
            for one in file.types:
                if one.module is None or (one.module, one.name) not in seen:
                    seen.add((one.module, one.name))
                    places[one.name].append((file.modules[0].file, one.line))
    repeated = {name: where for name, where in places.items() if len(where) > 1}
    if len(repeated) <= limit and not (every_name and repeated):
        return
    lines = []
    for name, where in sorted(repeated.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        lines.append(f"    {name} ×{len(where)}")
        lines.extend(f"        {file.relative_to(workspace.root)}:{line}" for file, line in where)
    file, line = min(repeated.values())[0]
    workspace.found(
        file,
        line,
        f"{len(repeated)} type names mean several things; {limit} may\n" + "\n".join(lines),
        "name each after what only it is",
    )


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", action="store_true", help="list every tie and name, and do not fail")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[2])
    chosen = parser.parse_args(arguments)
    findings = Workspace(chosen.folder.resolve()).check(every_tie=chosen.report)
    for finding in findings:
        print(f"✗ {finding}")
    print(f"structure: {len(findings)} findings" if findings else "structure: nothing found")
    return 1 if findings and not chosen.report else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
