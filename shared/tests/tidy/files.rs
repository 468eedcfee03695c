//! Rules about single files, and about what lies at the top level.

use crate::syntax;
use crate::tree::{self, Source};

/// A file one cannot keep in one's head is split by noun.
const LINES_MAX: usize = 400;

/// The top level is fixed; dot files may join.
const TOP_LEVEL: [&str; 15] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "chat-server",
    "market-api",
    "shared",
    "infra",
    "loadtest",
    "target",
    "data",
];

fn too_long(source: &Source) -> Option<String> {
    if source.text.lines().count() <= LINES_MAX {
        return None;
    }
    let lines = syntax::without_tests(&source.text).lines().count();
    (lines > LINES_MAX).then(|| {
        format!(
            "{}: {lines} lines without tests, at most {LINES_MAX}: split it",
            source.path
        )
    })
}

fn without_head(source: &Source) -> Option<String> {
    let missing = !source.text.starts_with("//!");
    missing.then(|| format!("{}: does not open with `//!`", source.path))
}

/// Marks of open ends, in pieces: written out, this file would break its own rule.
const OPEN_ENDS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
];

/// Open ends are issues: the mark names its number on the same line.
fn open_ends(source: &Source) -> Vec<String> {
    let is_open =
        |line: &&str| tree::words(line).any(|word| OPEN_ENDS.contains(&word)) && !names_issue(line);
    let lines = source
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| is_open(line));
    lines
        .map(|(index, line)| {
            format!(
                "{}:{}: without an issue number: {}",
                source.path,
                index + 1,
                line.trim()
            )
        })
        .collect()
}

fn names_issue(line: &str) -> bool {
    line.split('#')
        .skip(1)
        .any(|after| after.starts_with(|c: char| c.is_ascii_digit()))
}

fn strangers(names: &[String]) -> Vec<String> {
    names
        .iter()
        .filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()))
        .map(|name| format!("{name}: not one of the names at the top level"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assert_none;

    fn of_length(lines: usize) -> Source {
        let tests = "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n";
        Source::new("a/src/x.rs", &format!("{}{tests}", "//\n".repeat(lines)))
    }

    #[test]
    fn a_long_file_is_found_its_tests_do_not_count() {
        assert_eq!(too_long(&of_length(LINES_MAX)), None);
        assert!(too_long(&of_length(LINES_MAX + 1)).is_some());
    }

    #[test]
    fn lines_behind_the_tests_count() {
        let mut source = of_length(LINES_MAX);
        source.text.push_str("fn hidden() {}\n");
        assert!(too_long(&source).is_some());
    }

    #[test]
    fn a_missing_head_is_found() {
        assert_eq!(
            without_head(&Source::new("x.rs", "//! X.\nfn f() {}\n")),
            None
        );
        assert!(without_head(&Source::new("x.rs", "// X.\n//! X.\n")).is_some());
        assert!(without_head(&Source::new("x.rs", "")).is_some());
    }

    #[test]
    fn an_open_end_needs_an_issue() {
        let found = |line: String| open_ends(&Source::new("x.rs", &line)).len();
        for mark in OPEN_ENDS {
            // the rule passes over #1 on this line
            assert_eq!(found(format!("// {mark}: later\n")), 1, "{mark}");
            assert_eq!(found(format!("// {mark}(#12): later\n")), 0, "{mark}");
            assert_eq!(found(format!("// {mark}: see #[allow]\n")), 1, "{mark}");
            assert_eq!(found(format!("mktemp {mark}{mark}\n")), 0, "{mark}");
        }
    }

    #[test]
    fn a_stranger_at_the_top_level_is_found() {
        let names = ["README.md", ".ci", "market-api", "docs"].map(str::to_owned);
        assert_eq!(
            strangers(&names),
            ["docs: not one of the names at the top level"]
        );
    }

    #[test]
    fn the_tree_has_short_files_with_heads() {
        let sources = tree::sources();
        let production: Vec<_> = sources.iter().filter(|s| s.is_production()).collect();
        assert!(!production.is_empty());
        let long = production.iter().filter_map(|source| too_long(source));
        let headless = production.iter().filter_map(|source| without_head(source));
        assert_none(&long.chain(headless).collect::<Vec<_>>());
    }

    #[test]
    fn the_tree_has_no_open_end_without_an_issue() {
        let documents = [".md", ".lock"];
        let sources = tree::sources();
        let checked = sources
            .iter()
            .filter(|s| !documents.iter().any(|end| s.path.ends_with(end)));
        assert_none(&checked.flat_map(open_ends).collect::<Vec<_>>());
    }

    #[test]
    fn the_top_level_is_as_fixed() {
        assert_none(&strangers(&tree::top_level()));
    }
}
