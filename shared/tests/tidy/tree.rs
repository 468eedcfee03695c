//! The files of the working tree, read once per test. Knows nothing of the rules.

use std::fs;
use std::path::{Path, PathBuf};

/// One text file.
pub(crate) struct Source {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// Part of a program rather than of its tests or benchmarks.
    pub(crate) fn is_production(&self) -> bool {
        self.is_rust() && self.path.split('/').any(|part| part == "src") && !self.is_test()
    }

    /// A whole file of tests: in a folder `tests`, or declared by `#[cfg(test)] mod tests;`.
    pub(crate) fn is_test(&self) -> bool {
        self.path
            .split('/')
            .any(|part| part == "tests" || part == "tests.rs")
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

pub(crate) fn root() -> PathBuf {
    let member = Path::new(env!("CARGO_MANIFEST_DIR"));
    member.parent().expect("shared lies in the root").to_owned()
}

/// Every text file below the root that is ours: build output, data and fetched code stay out.
pub(crate) fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root(), "", &mut found);
    assert!(
        found
            .iter()
            .any(|source| source.path == "shared/tests/tidy/tree.rs"),
        "wrong root"
    );
    found
}

/// The text of one file, `None` when it is absent.
pub(crate) fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// The words of any text: letters, digits and `_`.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// Names in the root folder.
pub(crate) fn top_level() -> Vec<String> {
    entries(&root()).map(|entry| name(&entry)).collect()
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
    for entry in entries(folder) {
        let name = name(&entry);
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}/{name}")
        };
        let kind = entry.file_type().expect("an entry has a type");
        if kind.is_dir() {
            let foreign = ["target", "data", "node_modules", "__pycache__", ".git"];
            if !foreign.contains(&name.as_str()) {
                collect(&entry.path(), &path, found);
            }
        } else if kind.is_file()
            // What is not UTF-8 is a picture or the like.
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.push(Source { path, text });
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = fs::DirEntry> {
    let listing = fs::read_dir(folder).expect("a folder of the tree can be listed");
    listing.map(|entry| entry.expect("an entry can be read"))
}

fn name(entry: &fs::DirEntry) -> String {
    entry
        .file_name()
        .into_string()
        .expect("names in the tree are UTF-8")
}
