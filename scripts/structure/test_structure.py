"""Tests of the structure check, each on a small workspace in a temporary folder."""

import tempfile
import unittest
from pathlib import Path

import source
from check import FLOORS, Workspace

ITEM = "pub struct Coin;\n"


def floors(crates=("low", "high"), files="", repeated=15):
    names = ", ".join(f'"{name}"' for name in crates)
    return (
        f'crates = [{names}]\ncrates_for_tests = "kit"\nlongest_function = 70\n'
        f'crates_of_short_functions = "low"\nrepeated_type_names = {repeated}\n[floors]\n{files}'
    )


def check(files, rules=None, every_tie=False):
    """What is found in a workspace with these files; a crate `low` is added where none is given."""
    crates = {}
    for name in files:
        crates.setdefault(name.split("/")[0], "")
    for name in crates or {"low": ""}:
        files.setdefault(f"{name}/Cargo.toml", manifest(name))
    members = ", ".join(f'"{name}"' for name in crates)
    files["Cargo.toml"] = f"[workspace]\nmembers = [{members}]\n"
    files[FLOORS] = rules or floors(crates=list(crates))
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return Workspace(Path(folder)).check(every_tie)


def manifest(name, **tables):
    lines = [f'[package]\nname = "{name}"']
    for table, others in tables.items():
        lines.append(f"[{table.replace('_', '-')}]")
        lines.extend(f"{other}.workspace = true" for other in others)
    return "\n".join(lines) + "\n"


class Case(unittest.TestCase):
    def assert_clean(self, findings):
        self.assertEqual(findings, [])

    def assert_found(self, findings, *parts):
        self.assertEqual(len(findings), 1, findings)
        for part in parts:
            self.assertIn(part, findings[0])


class Crates(Case):
    def test_a_crate_may_depend_on_one_below(self):
        high = manifest("high", dependencies=["low"])
        self.assert_clean(check({"low/src/lib.rs": "", "high/src/lib.rs": "", "high/Cargo.toml": high}))

    def test_crates_of_one_floor_may_depend_on_each_other(self):
        low = manifest("low", dependencies=["high"])
        files = {"low/src/lib.rs": "", "high/src/lib.rs": "", "low/Cargo.toml": low}
        self.assert_clean(check(files, floors(crates=["low high"])))

    def test_a_crate_may_not_depend_on_one_above(self):
        low = manifest("low", dependencies=["high"])
        found = check({"low/src/lib.rs": "", "high/src/lib.rs": "", "low/Cargo.toml": low})
        self.assert_found(found, "low/Cargo.toml:4: low depends on high", "→ move")

    def test_tests_may_depend_on_what_is_for_tests_and_nothing_else_may(self):
        for table, allowed in (("dev_dependencies", True), ("dependencies", False)):
            low = manifest("low", **{table: ["kit"]})
            found = check({"low/src/lib.rs": "", "kit/src/lib.rs": "", "low/Cargo.toml": low})
            self.assertEqual(found == [], allowed, found)

    def test_every_crate_has_a_floor(self):
        self.assert_found(
            check({"low/src/lib.rs": ""}, floors(crates=[])), "low/Cargo.toml:1: the crate low stands"
        )

    def test_floors_name_crates_that_exist(self):
        found = check({"low/src/lib.rs": ""}, floors(crates=["low", "gone"]))
        self.assert_found(found, f"{FLOORS}:1: there is no crate gone")


class Floors(Case):
    RULES = floors(crates=["low"], files='low = ["money", "store/rows store", "api"]\n')

    def files(self, **texts):
        files = {
            "low/src/lib.rs": "pub mod api; pub mod money; pub mod store;",
            "low/src/money.rs": ITEM,
            "low/src/store/mod.rs": "pub mod rows; pub mod statements;",
            "low/src/store/rows.rs": "pub struct Rows;",
            "low/src/store/statements.rs": "pub struct Statement;",
            "low/src/api/mod.rs": "pub struct Api;",
        }
        return files | {f"low/src/{name}.rs": text for name, text in texts.items()}

    def test_a_file_may_use_its_own_floor_and_those_below(self):
        files = self.files(
            **{
                "api/mod": "use crate::store::rows::Rows;\npub struct Api;",
                "store/statements": "use super::rows::Rows;\nuse crate::money::Coin;\npub struct Statement;",
            }
        )
        self.assert_clean(check(files, self.RULES))

    def test_a_file_may_not_use_a_floor_above(self):
        files = self.files(**{"store/rows": "\nuse crate::{money::Coin, api::Api};\npub struct Rows;"})
        found = check(files, self.RULES)
        self.assert_found(found, "low/src/store/rows.rs:2: store/rows uses Api of api", "→ move Api down")

    def test_a_path_in_the_text_is_a_use(self):
        found = check(self.files(money=ITEM + "fn f() -> crate::api::Api { todo() }"), self.RULES)
        self.assert_found(found, "low/src/money.rs:2: money uses Api of api")

    def test_the_parts_of_a_folder_have_floors_of_their_own(self):
        rules = floors(crates=["low"], files='low = ["money", "store/rows", "store", "api"]\n')
        found = check(
            self.files(**{"store/rows": "use super::statements::Statement;\npub struct Rows;"}), rules
        )
        self.assert_found(found, "store/rows uses Statement of store")

    def test_the_root_stands_on_top_unless_it_has_a_floor(self):
        files = self.files(money="use crate::Open;\n" + ITEM)
        files["low/src/lib.rs"] += "pub struct Open;"
        self.assert_found(check(dict(files), self.RULES), "money uses Open of lib")
        rules = floors(crates=["low"], files='low = ["lib money store/rows", "store", "api"]\n')
        self.assert_clean(check(dict(files), rules))

    def test_a_name_that_the_root_passes_on_is_used_where_it_is_defined(self):
        files = self.files(money="use crate::Api;\n" + ITEM)
        files["low/src/lib.rs"] += "pub use api::Api;"
        self.assert_found(check(files, self.RULES), "money uses Api of api")

    def test_a_file_without_a_floor_is_found_and_a_list_of_modules_is_not(self):
        self.assert_found(
            check(self.files(other=ITEM), self.RULES), "low/src/other.rs:1: low/src/other stands on no"
        )
        rules = floors(crates=["low"], files='low = ["money", "store/rows store/statements", "api"]\n')
        self.assert_clean(check(self.files(), rules))

    def test_a_floor_of_nothing_is_found(self):
        rules = floors(crates=["low"], files='low = ["money store gone", "api"]\n')
        self.assert_found(check(self.files(), rules), f"{FLOORS}:7: low/src has no gone")

    def test_a_crate_without_floors_is_left_out(self):
        files = self.files(money="use crate::api::Api;\n" + ITEM)
        self.assert_clean(check(files, floors(crates=["low"])))


class Rings(Case):
    def ring(self, a, b, **more):
        files = {"low/src/lib.rs": "mod a; mod b;", "low/src/a.rs": a, "low/src/b.rs": b}
        return check(files | {f"low/src/{name}.rs": text for name, text in more.items()})

    def test_two_files_that_use_each_other_are_found_with_every_tie(self):
        found = self.ring("\nuse crate::b::B;\npub struct A;", "pub struct B;\nimpl super::a::A {}")
        self.assert_found(
            found, "2 files of low", "low/src/a.rs:2: uses B of b", "low/src/b.rs:2: uses A of a", "→ "
        )

    def test_use_in_one_direction_is_no_ring(self):
        self.assert_clean(
            self.ring("use crate::b::{self, B};\nfn f() { b::g() }", "pub struct B; pub fn g() {}")
        )

    def test_nested_groups_names_in_other_words_and_self_are_followed(self):
        b = "pub struct B;\nuse crate::{c::C, a::{self as first, inner::{Deep as _}}};"
        found = self.ring(
            "use self::inner::Deep; pub mod inner { pub trait Deep { fn f(_: crate::b::B); } }",
            b,
            c="pub struct C;",
        )
        self.assert_found(found, "low/src/b.rs:2: uses Deep of a", "low/src/a.rs:1: uses B of b")

    def test_a_module_inside_a_file_counts_as_its_file(self):
        a = "pub struct A; mod inner { use super::super::b::B; fn f(_: super::A) {} }"
        self.assert_found(self.ring(a, "pub struct B(crate::a::A);"), "uses B of b", "uses A of a")

    def test_names_that_come_through_others_are_followed_to_where_they_are_defined(self):
        a = "use crate::c::*;\npub struct A(B);"
        c = "pub use crate::d::Other as B; pub use crate::b::*;"
        d = "pub use crate::b::B as Other;"
        found = self.ring(a, "pub struct B(Option<Box<crate::a::A>>);", c=c, d=d)
        self.assert_found(found, "2 files of low", "low/src/a.rs:2: uses B of b")

    def test_a_name_that_a_glob_passes_on_is_followed(self):
        c = "pub use crate::b::*;"
        found = self.ring("use crate::c::B; pub struct A(B);", "pub struct B(crate::a::A);", c=c)
        self.assert_found(found, "2 files of low", "low/src/a.rs:1: uses B of b")

    def test_a_glob_of_which_nothing_is_recognised_uses_the_module(self):
        found = self.ring("use crate::b::*; pub struct A;", "made_by_a_macro!(); fn f(_: crate::a::A) {}")
        self.assert_found(found, "low/src/a.rs:1: uses * of b")

    def test_a_path_from_outside_of_the_crate_is_not_its_module(self):
        files = {"low/src/lib.rs": "mod b; pub struct Root; fn f(_: ::b::B) {}"}
        files["low/src/b.rs"] = "use crate::Root; pub struct B(Root);"
        self.assert_clean(check(files))

    def test_a_glob_uses_only_what_is_named(self):
        c = "pub use crate::b::B; pub use crate::d::D;"
        self.assert_clean(
            self.ring(
                "use crate::c::*;\npub struct A(D);", "pub struct B(crate::a::A);", c=c, d="pub struct D;"
            )
        )

    def test_a_parent_that_passes_on_what_its_children_have_does_not_use_them(self):
        child = "use super::Shared;\npub struct Child;"
        files = {
            "low/src/lib.rs": "pub mod a;",
            "low/src/a/mod.rs": "mod child; pub use child::Child; pub struct Shared;",
            "low/src/a/child.rs": child,
        }
        self.assert_clean(check(dict(files)))
        files["low/src/a/mod.rs"] += " fn f() -> child::Child { loop {} }"
        self.assert_found(check(dict(files)), "low/src/a/mod.rs:1: uses Child of a/child", "uses Shared of a")
        files["low/src/a/mod.rs"] = "mod child; use child::Child; pub struct Shared;"
        self.assert_found(check(dict(files)), "low/src/a/mod.rs:1: uses Child of a/child", "uses Shared of a")

    def test_what_a_file_imports_for_itself_is_not_followed(self):
        files = {
            "low/src/lib.rs": "mod a; mod c;",
            "low/src/c.rs": "pub struct C;",
            "low/src/a/child.rs": "use super::C;\npub struct Child(C);",
        }
        files["low/src/a/mod.rs"] = "mod child; use crate::c::C; fn f(_: C, _: child::Child) {}"
        self.assert_found(check(files), "low/src/a/child.rs:1: uses C of a")

    def test_tests_comments_and_strings_use_nothing(self):
        a = """// crate::b::B
            /* /* crate::b::B */ crate::b::B */
            pub struct A; const C: &str = "crate::b::B {"; const D: &str = r#"" use crate::b::B; "#;
            const E: char = '"';
            #[cfg(test)] use crate::b::B as Unused;
            #[cfg(all(test, unix))] #[expect(dead_code)] pub(crate) fn f() -> crate::b::B { loop {} }
            #[cfg(test)] static LAST: u8 = { 1 } + crate::b::LAST;
            #[cfg(test)] mod tests { use crate::b::B; #[test] fn f() { { B } } }
            pub struct Fields { #[cfg(test)] left: [crate::b::B; 1], right: () }"""
        self.assert_clean(self.ring(a, "use crate::a::A; pub struct B(A);"))

    def test_a_file_of_tests_only_is_left_out(self):
        files = {
            "low/src/lib.rs": "mod a; #[cfg(test)] mod b;",
            "low/src/a.rs": "use crate::b::B; pub struct A;",
            "low/src/b.rs": "use crate::a::A; pub struct B;",
        }
        self.assert_clean(check(files))

    def test_what_is_compiled_for_everything_but_tests_counts(self):
        for before in (
            "#[cfg(not(test))]",
            "#[cfg(all(unix, not(test)))]",
            "#[cfg(test)] static TEXT: T = T {} + 1;",
            "#[cfg(test)] use std::{a, b};",
            "#[cfg(test)] fn f() {}",
            "struct Fields { #[cfg(test)] of_tests: u8, text: String }",
        ):
            found = self.ring(f"{before} use crate::b::B; pub struct A;", "use crate::a::A; pub struct B;")
            self.assert_found(found, "2 files of low")
        found = self.ring("struct A { #[cfg(test)] of_tests: u8, b: crate::b::B }", "struct B(crate::a::A);")
        self.assert_found(found, "2 files of low")

    def test_a_path_in_an_attribute_is_a_use(self):
        a = 'pub struct A { #[serde(with = "crate::b::text")] at: () }'
        self.assert_found(
            self.ring(a, "pub mod text {} pub fn text() -> crate::a::A { loop {} }"), "uses text of b"
        )

    def test_a_program_beside_a_library_uses_it_by_its_name(self):
        files = {"low/src/lib.rs": "pub mod a;", "low/src/a.rs": "pub struct A;"}
        files["low/src/main.rs"] = "use low::a::A; mod inner { use crate::run; } fn run() {}"
        self.assert_clean(check(dict(files)))
        found = check(dict(files), floors(crates=["low"], files='low = ["main", "a"]\n'))
        self.assert_found(found, "low/src/main.rs:1: main uses A of a")

    def test_a_large_ring_is_shown_by_its_shortest_way_around_and_whole_in_a_report(self):
        texts = {
            "a": "use crate::b::B; use crate::c::C; pub struct A;",
            "b": "use crate::c::C; pub struct B;",
            "c": "use crate::a::A; pub struct C;",
        }
        files = {f"low/src/{name}.rs": text for name, text in texts.items()} | {
            "low/src/lib.rs": "mod a; mod b; mod c;"
        }
        short, whole = check(dict(files)), check(dict(files), every_tie=True)
        self.assert_found(
            short, "3 files of low", "low/src/a.rs:1: uses C of c", "low/src/c.rs:1: uses A of a"
        )
        self.assertNotIn("b.rs", short[0])
        self.assert_found(whole, "low/src/b.rs:1: uses C of c")


class Functions(Case):
    def long(self, lines, body="    step();\n"):
        return (
            "\nimpl A {\n    pub async fn long(of: [u8; 2], f: impl Fn() -> u8) -> u8 {\n"
            + body * (lines - 2)
            + "    }\n}\n"
        )

    def test_seventy_lines_are_allowed_and_one_more_is_found(self):
        self.assert_clean(check({"low/src/lib.rs": self.long(70)}))
        found = check({"low/src/lib.rs": self.long(71)})
        self.assert_found(
            found, "low/src/lib.rs:3: the function long has 71 lines, more than 70", "→ split it"
        )

    def test_braces_in_strings_characters_and_comments_do_not_end_it(self):
        for text in ("}", "{"):
            body = f"    g(\"{text}\", '{text}', b'{text}', r#\"{text}\"#, '\\''); // {text} /* {text}\n"
            body += f"    /* {text} */ x::<'a>();\n"
            found = check({"low/src/lib.rs": self.long(37, body)})
            self.assert_found(found, "has 72 lines")

    def test_tests_macros_and_types_of_functions_are_left_out(self):
        body = "step();\n" * 80
        text = f"macro_rules! m {{ () => {{ fn long() {{ {body} }} }} }}\n"
        text += f"#[cfg(test)]\nmod tests {{ #[test] fn long() {{ {body} }} }}\n"
        text += f"trait T {{ fn none(&self); }}\nconst F: fn() = {{ {body} f }};"
        self.assert_clean(check({"low/src/lib.rs": text}))

    def test_a_function_inside_another_is_measured_by_itself(self):
        inner = "fn inner() {\n" + "step();\n" * 70 + "}\n"
        found = check({"low/src/lib.rs": "fn outer() {\n" + inner + "}\n"})
        self.assertEqual([finding.split(" has ")[0].split()[-1] for finding in found], ["inner", "outer"])

    def test_other_crates_may_have_long_ones(self):
        self.assert_clean(check({"low/src/lib.rs": "", "high/src/lib.rs": self.long(99)}))


class Types(Case):
    def types(self, *texts, limit=0, **options):
        crates = [f"c{number}" for number in range(len(texts))]
        files = {f"{name}/src/lib.rs": text for name, text in zip(crates, texts)}
        return check(files, floors(crates=crates, repeated=limit), **options)

    def test_a_name_with_several_meanings_is_found_with_its_places(self):
        found = self.types(
            "pub struct Part;", "\npub(crate) enum Part {}", "mod a { trait Part {} }", "type Part = u8;"
        )
        self.assert_found(
            found, "1 type names", "Part ×4", "c0/src/lib.rs:1", "c1/src/lib.rs:2", "→ name each"
        )

    def test_a_few_may_be_and_a_report_names_them(self):
        self.assert_clean(self.types("struct A; struct B;", "struct A; struct B;", limit=2))
        self.assert_found(self.types("struct A; struct B;", "struct A; struct B;", limit=1), "2 type names")
        self.assert_found(self.types("struct A;", "struct A;", limit=1, every_tie=True), "A ×2")

    def test_associated_types_and_tests_are_no_names(self):
        text = "trait {0} { type Error; } impl {0} for u8 { type Error = u8; } #[cfg(test)] mod tests { struct World; }"
        self.assert_clean(self.types(text.replace("{0}", "A"), text.replace("{0}", "B")))

    def test_one_type_for_two_platforms_is_one_and_two_inside_functions_are_two(self):
        self.assert_clean(self.types("#[cfg(unix)] struct A; #[cfg(not(unix))] struct A(u8);"))
        self.assert_found(self.types("fn f() { struct Row; } fn g() { struct Row; }"), "Row ×2")


class Reading(Case):
    def test_lines_are_counted_through_strings_and_comments(self):
        text = 'const A: &str = "\n\n";\n/*\n*/\nconst B: &str = r"\n";\nstruct C;\n'
        self.assertEqual(source.read(text, ("lib",), Path("x")).types, [source.Type("C", 8, ("lib",))])

    def test_lifetimes_and_characters_are_told_apart(self):
        text = "fn f<'a>(_: &'a str) { match c { 'a' | '\\'' | '\"' | '\\u{1F600}' => {} } } struct A<'a>(&'a ());"
        self.assertEqual([one.name for one in source.read(text, ("lib",), Path("x")).types], ["A"])


if __name__ == "__main__":
    unittest.main()
