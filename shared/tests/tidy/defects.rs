//! Rule that each defect of the first version has a test that names it: the table of
//! `infra/docs/domain.md`, section 7, and functions called `defect_N_…`.

use std::collections::BTreeMap;

use crate::tree::{self, Source};

/// Rows of the table.
const DEFECTS: u32 = 24;

/// The rows of section 7: number, and the cell that names the tests.
fn rows(document: &str) -> BTreeMap<u32, &str> {
    let (_, section) = document.split_once("\n## 7. ").unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.strip_suffix('|')?.split('|');
        let number = cells.next()?.trim().parse().ok()?;
        Some((number, cells.next_back()?.trim()))
    });
    rows.collect()
}

/// How many tests name each defect.
fn tests(sources: &[Source]) -> BTreeMap<u32, usize> {
    let mut found = BTreeMap::new();
    let files = sources
        .iter()
        .filter(|source| source.is_rust() && source.is_test());
    for line in files.flat_map(|source| source.text.lines()) {
        let name = tree::words(line).skip_while(|word| *word != "fn").nth(1);
        let number = name.and_then(|name| name.strip_prefix("defect_")?.split('_').next());
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            *found.entry(number).or_default() += 1;
        }
    }
    found
}

fn check(document: &str, sources: &[Source]) -> Vec<String> {
    let (rows, tests) = (rows(document), tests(sources));
    let mut violations = Vec::new();
    for number in 1..=DEFECTS {
        let name = format!("defect_{number}_");
        if !rows.get(&number).is_some_and(|cell| cell.contains(&name)) {
            violations.push(format!(
                "domain.md, section 7: row {number} names no {name}…"
            ));
        }
        if !tests.contains_key(&number) {
            violations.push(format!("no test is called {name}…"));
        }
    }
    let unknown = tests.keys().filter(|number| !rows.contains_key(number));
    violations.extend(unknown.map(|number| format!("defect_{number}_… has no row in section 7")));
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assert_none;

    fn table(rows: impl Iterator<Item = u32>) -> String {
        let rows: String = rows
            .map(|number| format!("| {number} | a | b | `defect_{number}_…` |\n"))
            .collect();
        format!(
            "# x\n\n## 7. Defects\n\n| no. | defect |\n|---|---|\n{rows}\n## 8. Model\n| 25 | x |\n"
        )
    }

    fn named(numbers: impl Iterator<Item = u32>) -> [Source; 1] {
        let text: String = numbers
            .map(|number| format!("async fn defect_{number}_stays_away() {{}}\n"))
            .collect();
        [Source::new("market-api/tests/x.rs", &text)]
    }

    #[test]
    fn defect_without_a_row_or_a_test_is_found() {
        let all = || 1..=DEFECTS;
        assert_none(&check(&table(all()), &named(all())));
        let without_five = || all().filter(|number| *number != 5);
        assert_eq!(check(&table(without_five()), &named(all())).len(), 2);
        assert_eq!(check(&table(all()), &named(without_five())).len(), 1);
        assert_eq!(check(&table(all()), &named(1..=25)).len(), 1);
        let other_cell = table(all()).replace("`defect_7_…`", "planned");
        assert_eq!(check(&other_cell, &named(all())).len(), 1);
        let outside = [Source::new("market-api/src/x.rs", "fn defect_1_x() {}")];
        assert_eq!(tests(&outside).len(), 0);
    }

    #[test]
    fn every_defect_of_the_first_version_has_a_test_that_names_it() {
        let document = tree::read("infra/docs/domain.md").expect("the document is there");
        assert_none(&check(&document, &tree::sources()));
    }
}
