//! Rules about layers: a module uses only modules of lower rank.
//!
//! The ranks of a server stand in the head of its `lib.rs`, rows of the form
//! `//! | 3 | hub, rooms, inbox | does what |`: rank, names of top-level modules, prose. Modules of
//! one rank do not know each other. Modules that do not exist yet may be listed; one that exists
//! must be.

use std::collections::BTreeMap;

use crate::lexer;
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
    let code = lexer::code(&lexer::without_tests(lib));
    let words: Vec<_> = lexer::identifiers(&code).map(|(_, word)| word).collect();
    words
        .windows(2)
        .filter(|pair| pair[0] == "mod")
        .map(|pair| pair[1].to_owned())
        .collect()
}

/// The modules a file lies in, from the crate's root: `hub/ring.rs` is `hub`, `ring`.
fn module_path(path: &str) -> Vec<&str> {
    let mut parts: Vec<_> = path.trim_end_matches(".rs").split('/').collect();
    if ["mod", "lib"].contains(parts.last().unwrap_or(&"")) {
        parts.pop();
    }
    parts
}

/// The top-level modules that a file names: by `crate::x`, by `crate::{x, y}`, or by as many
/// `super::` as lead to the root.
fn used(code: &str, depth: usize) -> Vec<&str> {
    // The tests, last in their file, are one module deeper.
    let tests = code.find("\nmod tests {").unwrap_or(code.len());
    let mut found = Vec::new();
    let mut supers = 0;
    for (at, word) in lexer::identifiers(code) {
        let after = at + word.len();
        supers = match word {
            "super" => supers + 1,
            _ => 0,
        };
        let depth = depth + usize::from(at > tests);
        let at_root = word == "crate" || (supers > 0 && supers >= depth);
        if at_root && let Some(path) = code[after..].trim_start().strip_prefix("::") {
            found.extend(first_names(path.trim_start()));
        }
    }
    found.retain(|name| !["super", "self"].contains(name));
    found
}

/// The first name of a path, or of each path of a group `{a, b::{c, d}}`; a `*` has none.
fn first_names(path: &str) -> Vec<&str> {
    let Some(group) = path.strip_prefix('{') else {
        return first_name(path).into_iter().collect();
    };
    let (mut depth, mut start, mut found) = (0_i32, 0, Vec::new());
    for (at, c) in group.char_indices() {
        if depth == 0 && (c == ',' || c == '}') {
            found.extend(first_name(&group[start..at]));
            start = at + 1;
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

fn first_name(path: &str) -> Option<&str> {
    let path = path.trim_start();
    let (at, name) = lexer::identifiers(path).next()?;
    (at == 0).then_some(name)
}

/// Everything wrong in one file, whose path is relative to `src`.
fn misuse(ranks: &Ranks<'_>, path: &str, text: &str) -> Vec<String> {
    let modules = module_path(path);
    let Some(&module) = modules.first() else {
        return Vec::new();
    };
    let Some(rank) = ranks.get(module) else {
        return vec![format!("{path}: {module} has no rank")];
    };
    let code = lexer::code(text);
    let complaint = |name: &str| match ranks.get(name) {
        _ if name == module => None,
        None => Some(format!("{path}: uses crate::{name}, which has no rank")),
        Some(other) if other >= rank => Some(format!(
            "{path}: {module} (rank {rank}) uses {name} (rank {other})"
        )),
        Some(_) => None,
    };
    used(&code, modules.len())
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
            "// crate::hub\nlet x = \"crate::hub\"; /* crate::{hub} */\n",
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
