//! Rules about `Cargo.toml` files.

use toml::{Table, Value};

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

/// A version stands once, in the workspace table, so that nobody has two of one crate by accident.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{assert_none, tree};

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
}
