//! Rules that what is cited exists: documents by their paths, rows of checklists by their codes.

use std::collections::BTreeSet;
use std::path::Path;

use crate::tree::{self, Source};

/// Where the codes of a folder are explained, in rows such as `| F1 | … |`.
struct Checklist {
    folder: &'static str,
    explained_in: &'static [&'static str],
}

const CHECKLISTS: [Checklist; 2] = [
    Checklist {
        folder: "chat-server/stomp/",
        explained_in: &[
            "chat-server/stomp/tests/codec_rules.rs",
            "chat-server/stomp/tests/session_rules.rs",
        ],
    },
    Checklist {
        folder: "market-api/",
        explained_in: &["infra/docs/domain.md"],
    },
];

/// Names of things that have the form of a code.
const NAMES: [&str; 1] = ["S3"];

/// The paths that end like a document and are not part of a URL.
fn documents(text: &str) -> Vec<&str> {
    let ends_path = |c: char| !(c.is_ascii_alphanumeric() || "._-/".contains(c));
    text.split_whitespace()
        .filter(|word| !word.contains("://"))
        .flat_map(|word| word.split(ends_path))
        .map(|path| path.trim_end_matches('.'))
        .filter(|path| Path::new(path).extension().is_some_and(|end| end == "md"))
        .filter(|path| {
            Path::new(path)
                .file_stem()
                .is_some_and(|stem| stem != ".md")
        })
        .collect()
}

/// A path is meant from the citing file's folder, the root or the folder of documents.
fn exists(cited: &str, from: &str, all: &BTreeSet<&str>) -> bool {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    [folder, "", "infra/docs"]
        .iter()
        .any(|base| all.contains(joined(base, cited).as_str()))
}

fn joined(base: &str, path: &str) -> String {
    let mut parts: Vec<_> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn missing_documents(source: &Source, all: &BTreeSet<&str>) -> Vec<String> {
    documents(&source.text)
        .into_iter()
        .filter(|cited| !exists(cited, &source.path, all))
        .map(|cited| format!("{}: cites {cited}, which does not exist", source.path))
        .collect()
}

/// A capital letter and a number of at most two digits.
fn is_code(word: &str) -> bool {
    let mut bytes = word.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_uppercase())
        && (2..=3).contains(&word.len())
        && bytes.all(|byte| byte.is_ascii_digit())
        && !NAMES.contains(&word)
}

/// The codes in the comments of a Rust file, and those that begin the names of its functions.
fn codes(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("//") {
            found.extend(
                tree::words(line)
                    .filter(|word| is_code(word))
                    .map(str::to_owned),
            );
        }
        let name = tree::words(line).skip_while(|word| *word != "fn").nth(1);
        let prefix = name
            .and_then(|name| name.split_once('_'))
            .map(|(prefix, _)| prefix);
        found.extend(prefix.map(str::to_uppercase).filter(|word| is_code(word)));
    }
    found
}

/// The codes that have a row in some text.
fn explained(text: &str) -> BTreeSet<String> {
    let rows = text
        .lines()
        .map(|line| line.trim_start_matches("//!").trim_start())
        .filter_map(|line| line.strip_prefix('|')?.split('|').next());
    rows.map(str::trim)
        .filter(|cell| is_code(cell))
        .map(str::to_owned)
        .collect()
}

fn unexplained(source: &Source, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let list = CHECKLISTS
        .iter()
        .find(|list| source.path.starts_with(list.folder));
    let files = list.map_or(&[][..], |list| list.explained_in);
    let known: BTreeSet<_> = files
        .iter()
        .filter_map(|path| read(path))
        .flat_map(|text| explained(&text))
        .collect();
    let wanted = codes(&source.text);
    wanted
        .difference(&known)
        .map(|code| format!("{}: {code} has no row in {files:?}", source.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assert_none;

    /// In pieces, because this file is searched as well.
    fn md(stem: &str) -> String {
        format!("{stem}.{}", "md")
    }

    #[test]
    fn documents_are_found_in_prose_and_links() {
        let text = format!(
            "See [here]({}#part), `{}`. Not https://a.b/{} or .md files.",
            md("../a/b"),
            md("c-d"),
            md("e")
        );
        assert_eq!(documents(&text), [md("../a/b"), md("c-d")]);
    }

    #[test]
    fn a_document_that_is_not_there_is_found() {
        let (beside, at_root) = (md("infra/docs/x"), md("Y"));
        let all = BTreeSet::from([beside.as_str(), at_root.as_str()]);
        let check =
            |from: &str, cited: &str| missing_documents(&Source::new(from, cited), &all).is_empty();
        assert!(check("infra/docs/z", &md("x")) && check("shared/src/a.rs", &md("x")));
        assert!(check("infra/docs/z", &md("../../Y")) && check("a.rs", &beside));
        assert!(!check("infra/docs/z", &md("y")) && !check("a.rs", &md("infra/x")));
    }

    #[test]
    fn codes_are_those_of_comments_and_of_names_of_functions() {
        let text =
            "//! A1 to B12, not UTF8, C123, S3 or V.\n/// D4.\nlet x = \"E5\";\n    fn f6_x() {}\n";
        let found: Vec<_> = codes(text).into_iter().collect();
        assert_eq!(found, ["A1", "B12", "D4", "F6"]);
    }

    #[test]
    fn a_code_without_a_row_is_found() {
        let source = Source::new("chat-server/stomp/tests/x.rs", "// D1, D2\n");
        let rows = |_: &str| Some("//! | D1 | rule | D2 |\n".to_owned());
        let found = unexplained(&source, rows);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(": D2 has no row"), "{found:?}");
        assert_eq!(
            unexplained(&Source::new("loadtest/src/x.rs", "// D1\n"), rows).len(),
            1
        );
    }

    #[test]
    fn cited_documents_exist() {
        let sources = tree::sources();
        let all: BTreeSet<_> = sources.iter().map(|source| &*source.path).collect();
        assert_none(
            &sources
                .iter()
                .flat_map(|s| missing_documents(s, &all))
                .collect::<Vec<_>>(),
        );
    }

    #[test]
    fn cited_codes_are_explained() {
        let sources = tree::sources();
        // This file has codes as examples.
        let is_checked =
            |source: &&Source| source.is_rust() && !source.path.ends_with("/citations.rs");
        let rust = sources.iter().filter(is_checked);
        assert_none(
            &rust
                .flat_map(|source| unexplained(source, tree::read))
                .collect::<Vec<_>>(),
        );
    }
}
