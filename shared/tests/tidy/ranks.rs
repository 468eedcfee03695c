//! Rules about layers: a module uses only modules of lower rank.
//!
//! The ranks of a server stand in the head of its `lib.rs`, rows of the form
//! `//! | 3 | hub, rooms, inbox | does what |`: rank, names of top-level modules, prose. Modules of
//! one rank do not know each other. Modules that do not exist yet may be listed; one that exists
//! must be.

use std::collections::BTreeMap;

use syn::Item;

use crate::modules;
use crate::syntax::{self, CodePath};
use crate::tree::Source;

const SERVERS: [&str; 2] = ["chat-server", "market-api"];

type Ranks<'a> = BTreeMap<&'a str, u32>;

/// The table, and what is wrong with it.
fn table(lib: &str) -> (Ranks<'_>, Vec<String>) {
    let (mut ranks, mut wrong) = (Ranks::new(), Vec::new());
    for row in lib.lines().filter_map(|line| line.strip_prefix("//! |")) {
        let mut cells = row.split('|').map(str::trim);
        let (Some(rank), Some(names)) = (cells.next(), cells.next()) else {
            continue;
        };
        let Ok(rank) = rank.parse() else { continue };
        for name in names.split(',').map(|name| name.trim().trim_matches('`')) {
            if ranks.insert(name, rank).is_some() {
                wrong.push(format!("{name} has two ranks"));
            }
        }
    }
    if ranks.is_empty() {
        wrong.push("no table of ranks".to_owned());
    }
    (ranks, wrong)
}

/// The modules that `lib.rs` declares.
fn declared(lib: &str) -> Vec<String> {
    let name = |item: &Item| {
        if let Item::Mod(module) = item {
            Some(module.ident.to_string())
        } else {
            None
        }
    };
    syntax::production_items(lib)
        .iter()
        .filter_map(name)
        .collect()
}

/// The top-level modules that a file names: by `crate::x`, or by as many `super::` as lead to the
/// root from modules `depth` deep.
fn used(text: &str, depth: usize) -> Vec<String> {
    let at_root = |path: CodePath| {
        let supers = path
            .names
            .iter()
            .take_while(|name| *name == "super")
            .count();
        let from_root = match path.names.first()?.as_str() {
            "crate" => &path.names[1..],
            "super" if supers >= depth + path.depth => &path.names[supers..],
            _ => return None,
        };
        from_root.first().filter(|name| *name != "*").cloned()
    };
    let code = syntax::tokens(&syntax::items(text));
    let mut found: Vec<_> = syntax::paths(&code)
        .into_iter()
        .filter_map(at_root)
        .collect();
    found.dedup();
    found
}

/// Everything wrong in one file, whose path is relative to `src`.
fn misuse(ranks: &Ranks<'_>, path: &str, text: &str) -> Vec<String> {
    let modules = modules::module(path);
    let Some(module) = modules.first().map(String::as_str) else {
        return Vec::new();
    };
    let Some(rank) = ranks.get(module) else {
        return vec![format!("{path}: {module} has no rank")];
    };
    let complaint = |name: String| match ranks.get(name.as_str()) {
        _ if name == module => None,
        None => Some(format!("{path}: uses crate::{name}, which has no rank")),
        Some(other) if other >= rank => Some(format!(
            "{path}: {module} (rank {rank}) uses {name} (rank {other})"
        )),
        Some(_) => None,
    };
    used(text, modules.len())
        .into_iter()
        .filter_map(complaint)
        .collect()
}

/// Checks one server: `files` are those of its `src`, with paths relative to it.
fn violations(files: &[(&str, &str)]) -> Vec<String> {
    let Some((_, lib)) = files.iter().find(|(path, _)| *path == "lib.rs") else {
        return vec!["no lib.rs".to_owned()];
    };
    let (ranks, mut found) = table(lib);
    let unlisted = declared(lib)
        .into_iter()
        .filter(|name| !ranks.contains_key(name.as_str()));
    found.extend(unlisted.map(|name| format!("lib.rs: {name} has no rank")));
    found.extend(
        files
            .iter()
            .flat_map(|(path, text)| misuse(&ranks, path, text)),
    );
    found
}

/// The files of one server's `src`, empty while it does not exist.
fn files_of<'a>(server: &str, sources: &'a [Source]) -> Vec<(&'a str, &'a str)> {
    let prefix = format!("{server}/src/");
    let inside = |source: &'a Source| Some((source.path.strip_prefix(&prefix)?, &*source.text));
    sources
        .iter()
        .filter(|source| source.is_rust())
        .filter_map(inside)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{assert_none, tree};

    const LIB: &str = "//! A server.\n//!\n//! | rank | module | does |\n//! |---|---|---|\n\
        //! | 3 | `app` | |\n//! | 2 | hub, rooms | deliver |\n//! | 1 | store | keep |\n\
        pub mod hub;\nmod store;\n#[cfg(test)]\nmod tests {\n}\n";

    fn check(path: &str, text: &str, expected: &[&str]) {
        assert_eq!(
            violations(&[("lib.rs", LIB), (path, text)]),
            expected,
            "{path}: {text}"
        );
    }

    #[test]
    fn the_table_and_the_modules_are_read() {
        let (ranks, wrong) = table(LIB);
        assert_none(&wrong);
        assert_eq!(
            ranks,
            Ranks::from([("app", 3), ("hub", 2), ("rooms", 2), ("store", 1)])
        );
        assert_eq!(declared(LIB), ["hub", "store"]);
    }

    #[test]
    fn lower_ranks_and_the_own_module_may_be_used() {
        check(
            "hub/ring.rs",
            "use crate::store::Store;\nuse crate::hub::topic;\n",
            &[],
        );
        check(
            "hub.rs",
            "use super::store::{self, Store};\npub(crate) fn f() {}\n",
            &[],
        );
        check(
            "app.rs",
            "use crate::{hub::{Hub, self}, rooms, store::*};\n",
            &[],
        );
    }

    #[test]
    fn the_same_rank_may_not_be_used() {
        let expected = ["hub/ring.rs: hub (rank 2) uses rooms (rank 2)"];
        check("hub/ring.rs", "use crate::rooms::Room;\n", &expected);
        check(
            "hub/ring.rs",
            "use crate::{\n    store::Store,\n    rooms::{A, B},\n};\n",
            &expected,
        );
        check(
            "hub/ring.rs",
            "fn f() { crate::rooms::close() }\n",
            &expected,
        );
        check("hub/ring.rs", "use super::super::rooms::Room;\n", &expected);
        check(
            "hub/mod.rs",
            "use super::rooms;\n",
            &["hub/mod.rs: hub (rank 2) uses rooms (rank 2)"],
        );
    }

    #[test]
    fn tests_are_one_module_deeper() {
        let tests = |inside: &str| format!("#[cfg(test)]\nmod tests {{\n    {inside}\n}}\n");
        check("store.rs", &tests("use super::*; fn f() {}"), &[]);
        check("store.rs", &tests("use super::hub;"), &[]);
        let expected = ["store.rs: store (rank 1) uses hub (rank 2)"];
        check("store.rs", &tests("use super::super::hub;"), &expected);
        check("store.rs", &tests("use crate::hub;"), &expected);
    }

    #[test]
    fn a_higher_rank_may_not_be_used() {
        check(
            "store.rs",
            "use crate::{hub};",
            &["store.rs: store (rank 1) uses hub (rank 2)"],
        );
    }

    #[test]
    fn a_module_without_rank_is_found() {
        check("extra.rs", "", &["extra.rs: extra has no rank"]);
        check(
            "app.rs",
            "use crate::extra;",
            &["app.rs: uses crate::extra, which has no rank"],
        );
        let lib = format!("{LIB}mod extra;\n");
        assert_eq!(
            violations(&[("lib.rs", &lib)]),
            ["lib.rs: extra has no rank"]
        );
    }

    #[test]
    fn a_bad_table_is_found() {
        assert_eq!(
            violations(&[("lib.rs", "//! A server.\n")]),
            ["no table of ranks"]
        );
        assert_eq!(violations(&[]), ["no lib.rs"]);
        let twice = "//! | 1 | a |\n//! | 2 | b, a |\n";
        assert_eq!(violations(&[("lib.rs", twice)]), ["a has two ranks"]);
    }

    #[test]
    fn comments_and_strings_use_nothing() {
        check(
            "store.rs",
            "// crate::hub\nconst X: &str = \"crate::hub\"; /* crate::{hub} */\n",
            &[],
        );
        check("hub/ring.rs", "use super::rooms;\n", &[]);
    }

    #[test]
    fn the_servers_keep_their_ranks() {
        let sources = tree::sources();
        for server in SERVERS {
            let files = files_of(server, &sources);
            if tree::read(&format!("{server}/Cargo.toml")).is_some() {
                assert_none(&violations(&files));
            }
        }
    }
}
