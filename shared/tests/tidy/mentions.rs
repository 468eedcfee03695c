//! Rules that one thing is named in another: migrations in tests, metrics in their documentation.

use crate::syntax;
use crate::tree::{self, Source};

/// `text` holds `word`, not only as part of a longer one.
fn names(text: &str, word: &str) -> bool {
    tree::words(text).any(|found| found == word)
}

/// A migration that no test names has never been looked at in its own right.
fn untested(migrations: &[&str], tests: &[&str]) -> Vec<String> {
    migrations
        .iter()
        .filter(|path| {
            let file = path.rsplit('/').next().unwrap_or(path);
            let stem = file.strip_suffix(".sql").unwrap_or(file);
            !tests.iter().any(|text| names(text, stem))
        })
        .map(|path| format!("{path}: no test names this migration"))
        .collect()
}

/// The names of metrics are the literals that start like one.
fn metrics(text: &str) -> Vec<String> {
    let is_metric = |name: &String| {
        let ours = name.starts_with("chat_") || name.starts_with("market_");
        ours && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let code = syntax::tokens(&syntax::items(text));
    syntax::strings(&code)
        .into_iter()
        .filter(is_metric)
        .collect()
}

fn undocumented(source: &Source, documentation: &str) -> Vec<String> {
    metrics(&source.text)
        .into_iter()
        .filter(|metric| !names(documentation, metric.as_str()))
        .map(|metric| format!("{}: {metric} is not in infra/docs/metrics.md", source.path))
        .collect()
}

/// Part of the module `metrics` of a server.
fn declares_metrics(source: &Source) -> bool {
    source.is_production()
        && ["chat-server", "market-api"].iter().any(|server| {
            let after = source
                .path
                .strip_prefix(server)
                .and_then(|p| p.strip_prefix("/src/"));
            after.is_some_and(|path| path == "metrics.rs" || path.starts_with("metrics/"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assert_none;

    #[test]
    fn a_migration_without_a_test_is_found() {
        let migrations = ["m/sqlite/0001_members.sql", "m/sqlite/0002_cash.sql"];
        let tests = ["migrate(\"0001_members.sql\")", "0002_cash_and_more"];
        assert_eq!(
            untested(&migrations, &tests),
            ["m/sqlite/0002_cash.sql: no test names this migration"]
        );
    }

    #[test]
    fn a_metric_without_documentation_is_found() {
        let text = r#"
            // "chat_comment_total"
            fn f() {
                counter("chat_frames_total", "Frames."); counter("chat_frames", "chat_ is a prefix");
                counter!("market_trades_total", "Trades.");
            }
        "#;
        let source = Source::new("chat-server/src/metrics.rs", text);
        let found = undocumented(&source, "| `chat_frames_total` | counter |");
        assert_eq!(
            found,
            [
                "chat-server/src/metrics.rs: chat_frames is not in infra/docs/metrics.md",
                "chat-server/src/metrics.rs: market_trades_total is not in infra/docs/metrics.md",
            ]
        );
    }

    #[test]
    fn the_files_that_declare_metrics_are_known() {
        let found = |path: &str| declares_metrics(&Source::new(path, ""));
        assert!(found("chat-server/src/metrics.rs") && found("market-api/src/metrics/mod.rs"));
        assert!(!found("chat-server/src/hub/metrics.rs") && !found("chat-server/tests/metrics.rs"));
    }

    #[test]
    fn the_migrations_have_tests() {
        let sources = tree::sources();
        let is_migration = |s: &&Source| s.path.starts_with("market-api/migrations/");
        let is_test = |s: &&Source| s.path.starts_with("market-api/") && s.is_rust() && s.is_test();
        let migrations: Vec<_> = sources
            .iter()
            .filter(is_migration)
            .map(|s| &*s.path)
            .collect();
        let tests: Vec<_> = sources.iter().filter(is_test).map(|s| &*s.text).collect();
        assert_none(&untested(&migrations, &tests));
    }

    #[test]
    fn the_metrics_are_documented() {
        let documentation = tree::read("infra/docs/metrics.md").unwrap_or_default();
        let sources = tree::sources();
        let declaring = sources.iter().filter(|source| declares_metrics(source));
        assert_none(
            &declaring
                .flat_map(|s| undocumented(s, &documentation))
                .collect::<Vec<_>>(),
        );
    }
}
