//! Rules about `Cargo.toml` files.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use syn::Item;
use toml::{Table, Value};

use crate::syntax;
use crate::tree::{self, Source};

const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// The pure codec is used by three programs, so what it depends on is everybody's.
const STOMP: [&str; 3] = ["bytes", "memchr", "thiserror"];

fn parse(text: &str) -> Table {
    text.parse().expect("cargo reads this file too")
}

fn members(root_manifest: &str) -> Vec<String> {
    let manifest = parse(root_manifest);
    let listed = manifest["workspace"]["members"]
        .as_array()
        .expect("members are a list");
    listed
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// Every table of dependencies, also those for one platform.
fn dependency_tables(manifest: &Table) -> Vec<(&'static str, &Table)> {
    let platforms = manifest.get("target").and_then(Value::as_table);
    let platform_tables = platforms
        .into_iter()
        .flat_map(|t| t.values())
        .filter_map(Value::as_table);
    std::iter::once(manifest)
        .chain(platform_tables)
        .flat_map(|table| KINDS.map(|kind| (kind, table.get(kind).and_then(Value::as_table))))
        .filter_map(|(kind, table)| Some((kind, table?)))
        .collect()
}

fn inherits(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// Versions are only in the workspace table, so that no crate is used in two versions by accident.
fn own_versions(path: &str, text: &str) -> Vec<String> {
    let manifest = parse(text);
    dependency_tables(&manifest)
        .into_iter()
        .flat_map(|(kind, table)| table.iter().map(move |(name, value)| (kind, name, value)))
        .filter(|(_, _, value)| !inherits(value))
        .map(|(kind, name, _)| format!("{path}: {kind}.{name} does not say `workspace = true`"))
        .collect()
}

fn without_lints(path: &str, text: &str) -> Option<String> {
    let inherited = parse(text).get("lints").is_some_and(inherits);
    (!inherited).then(|| format!("{path}: does not say `[lints] workspace = true`"))
}

fn impure(text: &str) -> Vec<String> {
    let manifest = parse(text);
    let mut found: Vec<_> = dependency_tables(&manifest)
        .into_iter()
        .filter(|(kind, _)| *kind != "dev-dependencies")
        .flat_map(|(_, table)| table.keys().map(String::as_str))
        .collect();
    found.sort_unstable();
    let differs = found != STOMP;
    differs
        .then(|| format!("stomp depends on {found:?}, not on {STOMP:?}"))
        .into_iter()
        .collect()
}

/// The crates that some Rust code names: at the beginning of a path, or by a plain `use`.
fn named(code: &TokenStream) -> BTreeSet<String> {
    let words = syntax::words(code);
    let used = words
        .windows(2)
        .filter(|pair| pair[0] == "use")
        .map(|pair| pair[1].clone());
    let paths = syntax::paths(code)
        .into_iter()
        .map(|mut path| path.names.swap_remove(0));
    used.chain(paths).collect()
}

/// Dependencies of a member that its code does not name, or that only its tests name. `sources` are
/// the member's own.
fn unused(path: &str, manifest: &str, sources: &[&Source]) -> Vec<String> {
    let rust = || sources.iter().filter(|source| source.is_rust());
    let is_built = |source: &&&Source| source.is_production() || source.path.ends_with("build.rs");
    let names = |items: Vec<Item>| named(&syntax::tokens(&items));
    let anywhere: BTreeSet<_> = rust().flat_map(|s| names(syntax::items(&s.text))).collect();
    let built: BTreeSet<_> = rust()
        .filter(is_built)
        .flat_map(|s| names(syntax::production_items(&s.text)))
        .collect();
    let complaint = |(kind, name): (&str, &String)| {
        let word = name.replace('-', "_");
        if !anywhere.contains(&word) {
            return Some(format!("{path}: nothing names {kind}.{name}"));
        }
        let for_tests = kind == KINDS[0] && !built.contains(&word);
        for_tests.then(|| format!("{path}: only tests name {kind}.{name}"))
    };
    let manifest = parse(manifest);
    let tables = dependency_tables(&manifest);
    let listed = tables
        .into_iter()
        .flat_map(|(kind, table)| table.keys().map(move |n| (kind, n)));
    listed.filter_map(complaint).collect()
}

/// Rows of the workspace table that no member takes.
fn untaken(root_manifest: &str, members: &[(String, String)]) -> Vec<String> {
    let root = parse(root_manifest);
    let table = root["workspace"]["dependencies"]
        .as_table()
        .expect("a table");
    let manifests: Vec<_> = members.iter().map(|(_, text)| parse(text)).collect();
    let is_taken = |name: &str| {
        let mut tables = manifests.iter().flat_map(dependency_tables);
        tables.any(|(_, table)| table.contains_key(name))
    };
    let untaken = table.keys().filter(|name| !is_taken(name));
    untaken
        .map(|name| format!("Cargo.toml: no member takes {name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assert_none;

    #[test]
    fn a_version_in_a_member_is_found() {
        let text = r#"
            [dependencies]
            good.workspace = true
            chosen = { workspace = true, features = ["x"] }
            bad = "1"
            [dev-dependencies]
            worse = { path = "../worse" }
            [target.'cfg(unix)'.dependencies]
            worst = { version = "2", workspace = false }
        "#;
        let found = own_versions("a", text);
        assert_eq!(found.len(), 3, "{found:?}");
        for name in [
            "dependencies.bad",
            "dev-dependencies.worse",
            "dependencies.worst",
        ] {
            assert!(
                found.iter().any(|line| line.contains(name)),
                "{name}: {found:?}"
            );
        }
    }

    #[test]
    fn missing_lints_are_found() {
        assert_eq!(without_lints("a", "[lints]\nworkspace = true\n"), None);
        assert_eq!(without_lints("a", "lints.workspace = true\n"), None);
        assert!(without_lints("a", "[package]\nname = 'a'\n").is_some());
        assert!(without_lints("a", "[lints.rust]\nunsafe_code = 'forbid'\n").is_some());
    }

    #[test]
    fn a_fourth_or_missing_dependency_of_stomp_is_found() {
        let three = "[dependencies]\nthiserror = '1'\nmemchr = '1'\nbytes = '1'\n";
        assert_none(&impure(three));
        assert_none(&impure(&format!(
            "{three}[dev-dependencies]\nproptest = '1'\n"
        )));
        assert_eq!(impure(&format!("{three}tokio = '1'\n")).len(), 1);
        assert_eq!(
            impure(&format!("{three}[build-dependencies]\ncc = '1'\n")).len(),
            1
        );
        assert_eq!(impure("[dependencies]\nbytes = '1'\n").len(), 1);
    }

    fn member_manifests() -> Vec<(String, String)> {
        let root = tree::read("Cargo.toml").expect("the root has a manifest");
        let paths = members(&root)
            .into_iter()
            .map(|member| format!("{member}/Cargo.toml"));
        let read = |path: String| {
            let text = tree::read(&path).unwrap_or_else(|| panic!("no {path}"));
            (path, text)
        };
        paths.map(read).collect()
    }

    #[test]
    fn the_members_inherit_versions_and_lints() {
        let manifests = member_manifests();
        assert!(!manifests.is_empty());
        let versions = manifests
            .iter()
            .flat_map(|(path, text)| own_versions(path, text));
        let lints = manifests
            .iter()
            .filter_map(|(path, text)| without_lints(path, text));
        assert_none(&versions.chain(lints).collect::<Vec<_>>());
    }

    #[test]
    fn stomp_has_its_three_dependencies() {
        let text = tree::read("chat-server/stomp/Cargo.toml").expect("stomp has a manifest");
        assert_none(&impure(&text));
    }

    #[test]
    fn a_dependency_that_nothing_names_is_found() {
        let manifest = "[dependencies]\nin-code = '1'\nin-tests = '1'\nnowhere = '1'\n\
            [dev-dependencies]\nfor-tests = '1'\nlone = '1'\n";
        let sources = [
            Source::new(
                "a/src/lib.rs",
                "//! nowhere::x\nfn f() { in_code::g(crate::lone::h()) }\n",
            ),
            Source::new(
                "a/tests/t.rs",
                "use in_tests;\nfn f() { m!(for_tests::g()) }\n",
            ),
        ];
        let found = unused("a", manifest, &sources.each_ref());
        let expected = [
            "a: only tests name dependencies.in-tests",
            "a: nothing names dependencies.nowhere",
            "a: nothing names dev-dependencies.lone",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_row_that_no_member_takes_is_found() {
        let root = "[workspace.dependencies]\na = '1'\nb = '1'\n";
        let member = |text: &str| [("m".to_owned(), text.to_owned())];
        assert_none(&untaken(
            root,
            &member("[dependencies]\na = '1'\n[dev-dependencies]\nb = '1'\n"),
        ));
        let found = untaken(root, &member("[dependencies]\na = '1'\n"));
        assert_eq!(found, ["Cargo.toml: no member takes b"]);
    }

    #[test]
    fn the_members_use_what_they_depend_on() {
        let sources = tree::sources();
        let manifests = member_manifests();
        let folders: Vec<_> = manifests
            .iter()
            .map(|(path, _)| path.replace("Cargo.toml", ""))
            .collect();
        // A member within another's folder is not part of it.
        let owner = |path: &str| {
            let around = folders
                .iter()
                .filter(|folder| path.starts_with(folder.as_str()));
            around.max_by_key(|folder| folder.len())
        };
        let mut found = Vec::new();
        for ((path, text), folder) in manifests.iter().zip(&folders) {
            let own: Vec<_> = sources
                .iter()
                .filter(|s| owner(&s.path) == Some(folder))
                .collect();
            assert!(own.iter().any(|source| source.is_rust()), "{path}: no code");
            found.extend(unused(path, text, &own));
        }
        let root = tree::read("Cargo.toml").expect("the root has a manifest");
        found.extend(untaken(&root, &manifests));
        assert_none(&found);
    }
}
