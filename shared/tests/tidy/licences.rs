//! Rules about what the lock file brings in: licences, sources and banned crates, by `infra/deny.toml`.
//!
//! The file has the form that `cargo deny` reads; `cargo metadata --locked` is what every machine has.
//! Advisories are not looked up here.

use serde_json::Value;
use toml::Table;

/// The parts of `deny.toml` that are checked.
struct Policy {
    licences: Vec<String>,
    banned: Vec<String>,
}

/// The only permitted source of packages, in cargo's notation.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

impl Policy {
    fn read(text: &str) -> Self {
        let table: Table = text.parse().expect("deny.toml is TOML");
        let list = |section: &str, key: &str| -> Vec<String> {
            let values = table[section][key].as_array().expect("a list");
            values
                .iter()
                .filter_map(toml::Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        Self {
            licences: list("licenses", "allow"),
            banned: list("bans", "deny"),
        }
    }

    /// Everything wrong with the packages of one lock file.
    fn violations(&self, packages: &[Value]) -> Vec<String> {
        packages
            .iter()
            .flat_map(|package| self.violations_of(package))
            .collect()
    }

    fn violations_of(&self, package: &Value) -> Vec<String> {
        let text = |key: &str| package[key].as_str();
        let name = text("name").unwrap_or("a package without a name");
        let mut found = Vec::new();
        if self.banned.iter().any(|banned| banned == name) {
            found.push(format!("{name}: banned"));
        }
        if let Some(source) = text("source").filter(|source| *source != REGISTRY) {
            found.push(format!("{name}: comes from {source}"));
        }
        match text("license") {
            None => found.push(format!("{name}: names no licence")),
            Some(licence) if !self.allows(licence) => {
                found.push(format!(
                    "{name}: {licence} is not among the allowed licences"
                ));
            }
            Some(_) => {}
        }
        let requirements = package["dependencies"].as_array().into_iter().flatten();
        let is_ours = text("source").is_none();
        let wild = requirements.filter(|r| is_ours && r["req"] == "*" && r["path"].is_null());
        found.extend(wild.map(|r| format!("{name}: takes any version of {}", r["name"])));
        found
    }

    /// Whether an SPDX expression can be met with allowed licences. `/` is the old form of `OR`.
    fn allows(&self, expression: &str) -> bool {
        let spaced = expression
            .replace('/', " OR ")
            .replace('(', " ( ")
            .replace(')', " ) ");
        let words: Vec<_> = spaced.split_whitespace().collect();
        let mut rest = words.as_slice();
        let allowed = self.any(&mut rest);
        allowed && rest.is_empty()
    }

    fn any(&self, rest: &mut &[&str]) -> bool {
        let mut allowed = self.all(rest);
        while let [first, after @ ..] = *rest
            && *first == "OR"
        {
            *rest = after;
            allowed |= self.all(rest);
        }
        allowed
    }

    fn all(&self, rest: &mut &[&str]) -> bool {
        let mut allowed = self.one(rest);
        while let [first, after @ ..] = *rest
            && *first == "AND"
        {
            *rest = after;
            allowed &= self.one(rest);
        }
        allowed
    }

    fn one(&self, rest: &mut &[&str]) -> bool {
        match *rest {
            ["(", after @ ..] => {
                *rest = after;
                let allowed = self.any(rest);
                let closed = rest.first() == Some(&")");
                *rest = rest.get(1..).unwrap_or_default();
                allowed && closed
            }
            [licence, "WITH", exception, after @ ..] => {
                *rest = after;
                self.licences
                    .contains(&format!("{licence} WITH {exception}"))
            }
            [licence, after @ ..] => {
                *rest = after;
                self.licences.iter().any(|allowed| allowed == licence)
            }
            [] => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::json;

    use super::*;
    use crate::{assert_none, tree};

    const POLICY: &str = "[licenses]\nallow = ['MIT', 'ISC']\n[bans]\ndeny = ['openssl']\n";

    fn found(package: &Value) -> Vec<String> {
        Policy::read(POLICY).violations(std::slice::from_ref(package))
    }

    #[test]
    fn expressions_are_met_by_allowed_licences() {
        let policy = Policy::read(POLICY);
        for met in [
            "MIT",
            "GPL-3.0 OR MIT",
            "GPL-3.0/MIT",
            "MIT AND (ISC OR GPL-3.0)",
        ] {
            assert!(policy.allows(met), "{met}");
        }
        let unmet = [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT",
            "MIT ISC",
            "MIT WITH x",
            "OR MIT",
        ];
        for unmet in unmet {
            assert!(!policy.allows(unmet), "{unmet}");
        }
    }

    #[test]
    fn a_package_against_the_policy_is_found() {
        let good = json!({"name": "a", "license": "MIT", "source": REGISTRY, "dependencies": []});
        assert_none(&found(&good));
        let changed = |key: &str, value: Value| {
            let mut package = good.clone();
            package[key] = value;
            found(&package)
        };
        assert_eq!(changed("license", Value::Null), ["a: names no licence"]);
        assert_eq!(changed("license", json!("X")).len(), 1);
        assert_eq!(
            changed("source", json!("git+https://a/b")),
            ["a: comes from git+https://a/b"]
        );
        assert_eq!(changed("name", json!("openssl")), ["openssl: banned"]);
        let mut ours = good.clone();
        ours["source"] = Value::Null;
        ours["dependencies"] = json!([{"name": "b", "req": "*", "path": null}]);
        assert_eq!(found(&ours), ["a: takes any version of \"b\""]);
        ours["dependencies"][0]["path"] = json!("../b");
        assert_none(&found(&ours));
    }

    #[test]
    fn the_lock_file_keeps_the_policy() {
        let policy = tree::read("infra/deny.toml").expect("there is a policy");
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["metadata", "--locked", "--format-version=1"])
            .current_dir(tree::root());
        let answer = cargo.output().expect("cargo runs");
        let complaint = String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "cargo metadata: {complaint}");
        let metadata: Value = serde_json::from_slice(&answer.stdout).expect("cargo writes JSON");
        let packages = metadata["packages"]
            .as_array()
            .expect("packages are a list");
        // The lock file of a workspace that builds holds at least what its members depend on.
        assert!(packages.len() > 100, "only {} packages", packages.len());
        assert_none(&Policy::read(&policy).violations(packages));
    }
}
