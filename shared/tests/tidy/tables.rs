//! Each table of the market has one owner: only its module's statements insert, update, delete or lock
//! its rows. The owners stand in a table of `market-api/src/lib.rs`, under "Tables".
//!
//! It reads the literals of a file, so a statement that is put together from a variable table name would
//! pass; none is.

use std::collections::BTreeMap;

/// The owners: table to module, read from the head of `lib.rs`.
fn owners(lib: &str) -> BTreeMap<String, String> {
    let after = lib.split("//! # Tables").nth(1).unwrap_or_default();
    let rows = after.lines().filter_map(|line| line.strip_prefix("//! | "));
    let mut owners = BTreeMap::new();
    for row in rows {
        let mut cells = row.split('|').map(str::trim);
        let (Some(module), Some(tables)) = (cells.next(), cells.next()) else {
            continue;
        };
        for table in tables.split(',').map(str::trim) {
            owners.insert(table.to_owned(), module.to_owned());
        }
    }
    owners.remove("tables");
    owners
}

/// The tables whose rows the statements of this source change or lock.
fn changed(source: &str) -> Vec<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: Vec<&str> = source.lines().filter(is_code).collect();
    let source = code.join("\n").replace("locking!", "LOCKING");
    let words: Vec<&str> = source
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let mut found = Vec::new();
    let mut is_locking = false;
    for at in 0..words.len() {
        match (word(at), word(at + 1), word(at + 2)) {
            ("LOCKING", _, _) => is_locking = true,
            ("insert", "into", table) | ("delete", "from", table) => found.push(table.to_owned()),
            ("update", table, "set") => found.push(table.to_owned()),
            ("from", table, _) if is_locking => {
                found.push(table.to_owned());
                is_locking = false;
            }
            _ => {}
        }
    }
    found
}

/// One line for each statement on a table of another module, or on one without an owner.
fn check(path: &str, source: &str, owners: &BTreeMap<String, String>) -> Vec<String> {
    let module = path.split(['/', '.']).next().unwrap_or_default();
    let tables = changed(source).into_iter();
    let wrong = tables.filter_map(|table| match owners.get(&table) {
        Some(owner) if owner == module => None,
        Some(owner) => Some(format!(
            "{path}: changes or locks {table}, which {owner} owns"
        )),
        None => Some(format!("{path}: {table} has no owner in lib.rs")),
    });
    wrong.collect()
}

/// The tables that migrations make.
fn made(migration: &str) -> Vec<String> {
    let text = migration.to_ascii_lowercase();
    let after = text.split("create table ").skip(1);
    let name = |rest: &str| {
        rest.split([' ', '(', '\n'])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    after.map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assert_none;
    use crate::tree::sources;

    #[test]
    fn statement_on_a_foreign_table_is_a_violation() {
        let owners =
            owners("//! # Tables\n//! | module | tables |\n//! | cash | wallet, posting |\n");
        let check = |source: &str| check("members/repo.rs", source, &owners);
        assert_eq!(check("query(\"select charged from wallet\")").len(), 0);
        let wrong = [
            "query(\"insert into wallet (member_id) values ($1)\")",
            "query(\n\"update wallet \\\n set owed = 1\")",
            "query(\"delete from posting\")",
            "locking!(tx, \"select id from wallet where id = $1\")",
            "query(\"insert into nothing (id) values (1)\")",
        ];
        for source in wrong {
            assert_eq!(check(source).len(), 1, "{source}");
        }
        assert_eq!(super::check("cash/repo.rs", wrong[0], &owners).len(), 0);
        assert_eq!(
            made("create table a (\nid);\ncreate table b\n(id);"),
            ["a", "b"]
        );
    }

    #[test]
    fn every_table_is_changed_by_its_owner_only() {
        let all = sources();
        let lib = all.iter().find(|s| s.path == "market-api/src/lib.rs");
        let owners = owners(&lib.expect("the market has a lib.rs").text);
        let mut violations = Vec::new();
        for source in &all {
            let path = source.path.as_str();
            if path.starts_with("market-api/src/db/") {
                continue; // no SQL of its own, but the macro that locks
            }
            if let Some(path) = path.strip_prefix("market-api/src/") {
                let code = source.text.split("mod tests {").next().unwrap_or_default();
                violations.extend(check(path, code, &owners));
            } else if path.starts_with("market-api/migrations/") {
                let tables = made(&source.text).into_iter();
                let ownerless = tables.filter(|table| !owners.contains_key(table));
                violations.extend(ownerless.map(|table| format!("{path}: {table} has no owner")));
            }
        }
        assert_none(&violations);
    }
}
