//! The tidy test: rules about our own files that no compiler checks.
//!
//! Each rule is a function from text to violations, with a test that shows it biting, and one test
//! that applies it to the tree. A rule whose folder does not exist yet finds nothing there; it
//! starts to work when the folder comes.
//!
//! It reads items, tokens and paths (`syntax`) and knows which file a path leads to (`modules`);
//! the expansion of macros is not checked. The test catches mistakes; it does not prevent
//! deliberate evasion.

mod circles;
mod citations;
mod defects;
mod files;
mod licences;
mod manifests;
mod mentions;
mod modules;
mod ranks;
mod seams;
mod syntax;
mod tables;
mod tree;

/// Fails with one line per violation.
fn assert_none(violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{} violation(s):\n{}",
        violations.len(),
        violations.join("\n")
    );
}
