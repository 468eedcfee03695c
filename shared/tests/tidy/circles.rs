//! Rules about the files of one module: no circle of imports, and no type spread over many files.
//!
//! The ranks keep the modules at the top of a server apart; this looks inside them.

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::{Crate, Module};

/// Methods of one type stand in so many files at most; a type that needs more has several parts.
const FILES_OF_A_TYPE_MAX: usize = 3;

/// Circles there were when the rule came. A file that is in no circle any more leaves the list, and
/// none joins it.
const KNOWN_CIRCLES: [&[&str]; 0] = [];

/// Types that were spread when the rule came, each with the crate's folder.
const KNOWN_SPREAD: [&str; 0] = [];

/// The largest sets of files of which each one leads to every other, with paths from the root.
fn circles(folder: &str, krate: &Crate) -> Vec<Vec<String>> {
    let edges = krate.edges();
    let reached: BTreeMap<_, _> = edges
        .keys()
        .map(|from| (*from, reach(&edges, from)))
        .collect();
    let circle = |module: &&Module| -> BTreeSet<&Module> {
        let leads_back = |other: &&&Module| reached[**other].contains(module);
        reached[*module]
            .iter()
            .filter(leads_back)
            .copied()
            .collect()
    };
    let circles: BTreeSet<_> = edges.keys().map(circle).filter(|c| c.len() > 1).collect();
    let path = |module: &Module| format!("{folder}/{}", krate.file(module).path);
    circles
        .into_iter()
        .map(|circle| circle.into_iter().map(path).collect())
        .collect()
}

fn reach<'a>(
    edges: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
    from: &'a Module,
) -> BTreeSet<&'a Module> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        open.extend(edges[module].iter().filter(|next| reached.insert(**next)));
    }
    reached
}

/// Circles that are new, and files listed in `known` that are in none any more.
fn changed_circles(found: &[Vec<String>], known: &[&[&str]]) -> Vec<String> {
    let is_known = |circle: &&Vec<String>| {
        let holds_all = |list: &&&[&str]| circle.iter().all(|path| list.contains(&path.as_str()));
        known.iter().any(|list| holds_all(&list))
    };
    let new = found.iter().filter(|circle| !is_known(circle));
    let new =
        new.map(|circle| format!("these import each other in a circle: {}", circle.join(", ")));
    let listed = known.iter().flat_map(|list| list.iter());
    let is_open = |path: &&&str| !found.iter().flatten().any(|in_circle| in_circle == **path);
    let open = listed
        .filter(is_open)
        .map(|path| format!("{path}: in no circle any more: take it off KNOWN_CIRCLES"));
    new.chain(open).collect()
}

/// Types with methods in more files than may be, each as `folder: Type` with its files.
fn spread(folder: &str, krate: &Crate) -> BTreeMap<String, Vec<String>> {
    let wide = krate
        .methods()
        .into_iter()
        .filter(|(_, files)| files.len() > FILES_OF_A_TYPE_MAX);
    wide.map(|((_, name), files)| {
        let files = files.into_iter().map(str::to_owned).collect();
        (format!("{folder}: {name}"), files)
    })
    .collect()
}

fn changed_spread(found: &BTreeMap<String, Vec<String>>, known: &[&str]) -> Vec<String> {
    let new = found
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()));
    let new = new.map(|(name, files)| {
        format!(
            "{name} has methods in {} files, at most {FILES_OF_A_TYPE_MAX}: {}",
            files.len(),
            files.join(", ")
        )
    });
    let narrow = known.iter().filter(|name| !found.contains_key(**name));
    let narrow = narrow.map(|name| format!("{name} is narrow now: take it off KNOWN_SPREAD"));
    new.chain(narrow).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{assert_none, modules, tree};

    #[test]
    fn a_circle_inside_a_module_is_found() {
        let files = [
            ("lib.rs", "mod a;\n"),
            (
                "a/mod.rs",
                "mod x;\nmod y;\nmod z;\npub use z::Z;\npub struct A;\n",
            ),
            ("a/x.rs", "pub struct X;\nuse super::{A, y::Y};\n"),
            ("a/y.rs", "pub struct Y;\nuse super::Z;\n"),
            ("a/z.rs", "pub struct Z;\nfn f(_: crate::a::x::X) {}\n"),
        ];
        let found = circles("c", &Crate::read(&files));
        assert_eq!(found, [["c/a/x.rs", "c/a/y.rs", "c/a/z.rs"]]);
        let opened = [&files[..4], &[("a/z.rs", "pub struct Z;\n")]].concat();
        assert_eq!(
            circles("c", &Crate::read(&opened)),
            Vec::<Vec<String>>::new()
        );
    }

    #[test]
    fn known_circles_only_shrink() {
        let circle = |paths: &[&str]| vec![paths.iter().map(|path| (*path).to_owned()).collect()];
        let known: [&[&str]; 1] = [&["a", "b", "c"]];
        assert_none(&changed_circles(&circle(&["a", "b", "c"]), &known));
        let shrunk = changed_circles(&circle(&["a", "b"]), &known);
        assert_eq!(
            shrunk,
            ["c: in no circle any more: take it off KNOWN_CIRCLES"]
        );
        assert_eq!(
            changed_circles(&circle(&["a", "b", "c", "d"]), &known).len(),
            1
        );
        assert_eq!(changed_circles(&[], &known).len(), 3);
    }

    #[test]
    fn a_type_in_many_files_is_found() {
        let imports = "use super::T;\nimpl T {}\n";
        let files = [
            (
                "lib.rs",
                "mod a;\nmod b;\nmod c;\npub struct T;\nimpl T {}\n",
            ),
            ("a.rs", imports),
            ("b.rs", imports),
            ("c.rs", imports),
        ];
        let found = spread("x", &Crate::read(&files));
        assert_eq!(found.keys().collect::<Vec<_>>(), ["x: T"]);
        assert_eq!(changed_spread(&found, &[]).len(), 1);
        assert_none(&changed_spread(&found, &["x: T"]));
        assert_eq!(
            changed_spread(&spread("x", &Crate::read(&files[..3])), &["x: T"]).len(),
            1
        );
    }

    #[test]
    fn the_modules_have_no_circles_and_no_spread_types() {
        let sources = tree::sources();
        let (mut in_circle, mut wide) = (Vec::new(), BTreeMap::new());
        for folder in modules::CRATES {
            let krate = modules::of_folder(folder, &sources);
            in_circle.extend(circles(folder, &krate));
            wide.extend(spread(folder, &krate));
        }
        let mut found = changed_circles(&in_circle, &KNOWN_CIRCLES);
        found.extend(changed_spread(&wide, &KNOWN_SPREAD));
        assert_none(&found);
    }
}
