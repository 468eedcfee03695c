//! The files of one crate as modules, and which file a path in one of them leads to.
//!
//! A path to what a module only passes on (`pub use`) leads to the file that defines it.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Item, ItemUse, Type, Visibility};

use crate::syntax;
use crate::tree::Source;

/// The crates, by the folder of their files.
pub(crate) const CRATES: [&str; 7] = [
    "chat-server/src",
    "chat-server/stomp/src",
    "market-api/src",
    "shared/src",
    "infra/fakes/src",
    "infra/standalone/src",
    "loadtest/src",
];

/// A name is passed on so often at most; more is a circle of `pub use`.
const HOPS_MAX: u8 = 8;

/// The names of a module from the crate's root; the root has none.
pub(crate) type Module = Vec<String>;

pub(crate) struct File {
    /// Relative to `src`.
    pub(crate) path: String,
    /// What a `use` at the top brings in, by its name here; `*` may stand there several times.
    imports: Vec<(String, Vec<String>)>,
    /// The names of its items.
    defined: BTreeSet<String>,
    /// The paths in its code, but those of `pub use`.
    paths: Vec<Vec<String>>,
    /// The types that have an `impl` block of their own here, traits apart.
    methods_of: BTreeSet<String>,
}

impl File {
    fn read(path: &str, text: &str) -> Self {
        let items = syntax::production_items(text);
        let uses = items.iter().filter_map(as_use);
        let imports = uses.flat_map(|item| syntax::imports(&item.tree)).collect();
        let (passed_on, rest): (Vec<_>, Vec<_>) = items.into_iter().partition(passes_on);
        drop(passed_on);
        let inner = |path: syntax::CodePath| {
            // A module inside the file is taken for the file: one `super` fewer for each.
            let supers = path
                .names
                .iter()
                .take_while(|name| *name == "super")
                .count();
            path.names[path.depth.min(supers)..].to_vec()
        };
        Self {
            path: path.to_owned(),
            imports,
            defined: rest.iter().filter_map(defined).collect(),
            methods_of: rest.iter().filter_map(methods_of).collect(),
            paths: syntax::paths(&syntax::tokens(&rest))
                .into_iter()
                .map(inner)
                .collect(),
        }
    }
}

fn passes_on(item: &Item) -> bool {
    matches!(item, Item::Use(item) if !matches!(item.vis, Visibility::Inherited))
}

fn as_use(item: &Item) -> Option<&ItemUse> {
    if let Item::Use(item) = item {
        Some(item)
    } else {
        None
    }
}

fn methods_of(item: &Item) -> Option<String> {
    if let Item::Impl(item) = item
        && item.trait_.is_none()
        && let Type::Path(named) = &*item.self_ty
    {
        Some(named.path.segments.last()?.ident.to_string())
    } else {
        None
    }
}

fn defined(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::ExternCrate(_)
        | Item::ForeignMod(_)
        | Item::Impl(_)
        | Item::Mod(_)
        | Item::TraitAlias(_)
        | Item::Union(_)
        | Item::Use(_)
        | Item::Verbatim(_)
        | _ => return None,
    };
    Some(name.to_string())
}

/// The files of one crate by their modules.
pub(crate) struct Crate(BTreeMap<Module, File>);

impl Crate {
    /// `files` have paths relative to the crate's `src`.
    pub(crate) fn read(files: &[(&str, &str)]) -> Self {
        let has_lib = files.iter().any(|(path, _)| *path == "lib.rs");
        let inside = |(path, text): &(&str, &str)| {
            // Beside a library the program is a crate of its own.
            (!has_lib || *path != "main.rs").then(|| (module(path), File::read(path, text)))
        };
        Self(files.iter().filter_map(inside).collect())
    }

    /// The module that defines what a path in `from` leads to; `None` outside of the crate.
    fn target(&self, from: &Module, path: &[String], hops: u8) -> Option<&Module> {
        let absolute = self.absolute(from, path)?;
        let (module, rest) = self.split(&absolute);
        let file = &self.0[module];
        let Some(name) = rest
            .first()
            .filter(|name| hops > 0 && !file.defined.contains(*name))
        else {
            return Some(module);
        };
        let by_name = file.imports.iter().filter(|(here, _)| here == name);
        let named = by_name.map(|(_, path)| path.clone());
        let by_glob = file
            .imports
            .iter()
            .filter(|(here, _)| here == "*")
            .map(|(_, path)| {
                let mut path = path.clone();
                path.pop();
                path.push(name.clone());
                path
            });
        // A name from outside the crate has no file here.
        if let Some(path) = named.clone().next() {
            return self.target(module, &path, hops - 1);
        }
        by_glob
            .filter_map(|path| self.target(module, &path, hops - 1))
            .find(|target| self.0[*target].defined.contains(name))
            .or(Some(module))
    }

    fn absolute(&self, from: &Module, path: &[String]) -> Option<Module> {
        let first = path.first()?;
        let supers = path.iter().take_while(|name| *name == "super").count();
        let mut absolute = match first.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(supers)?].to_vec(),
            _ => {
                let child = [from.as_slice(), std::slice::from_ref(first)].concat();
                return self
                    .0
                    .contains_key(&child)
                    .then(|| [from.as_slice(), path].concat());
            }
        };
        absolute.extend_from_slice(&path[supers.max(1)..]);
        Some(absolute)
    }

    /// The longest beginning of a path that is a file, and what follows.
    fn split<'p>(&self, path: &'p [String]) -> (&Module, &'p [String]) {
        (0..=path.len())
            .rev()
            .find_map(|length| Some((self.0.get_key_value(&path[..length])?.0, &path[length..])))
            .expect("the root is a file")
    }

    /// The file of a module.
    pub(crate) fn file(&self, module: &Module) -> &File {
        &self.0[module]
    }

    /// The files with an `impl` block of each type, which is named by the module that defines it.
    pub(crate) fn methods(&self) -> BTreeMap<(&Module, &str), BTreeSet<&str>> {
        let mut files = BTreeMap::<_, BTreeSet<_>>::new();
        for (from, file) in &self.0 {
            for name in &file.methods_of {
                let here = ["self".to_owned(), name.clone()];
                let home = self.target(from, &here, HOPS_MAX).unwrap_or(from);
                files
                    .entry((home, name.as_str()))
                    .or_default()
                    .insert(&*file.path);
            }
        }
        files
    }

    /// Which files each file imports from, but those of the modules it lies in: what files of one
    /// module share may stand in its `mod.rs`.
    pub(crate) fn edges(&self) -> BTreeMap<&Module, BTreeSet<&Module>> {
        let edges_of = |(from, file): (_, &File)| {
            let targets = file
                .paths
                .iter()
                .filter_map(|path| self.target(from, path, HOPS_MAX));
            (
                from,
                targets.filter(|target| !from.starts_with(target)).collect(),
            )
        };
        self.0.iter().map(edges_of).collect()
    }
}

/// `hub/ring.rs` is `hub`, `ring`; `hub/mod.rs` is `hub`; `lib.rs` is the root.
pub(crate) fn module(path: &str) -> Module {
    let mut names: Vec<_> = path
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if names
        .last()
        .is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str()))
    {
        names.pop();
    }
    names
}

/// The crate below a folder of the tree.
pub(crate) fn of_folder(folder: &str, sources: &[Source]) -> Crate {
    let prefix = format!("{folder}/");
    let inside = |source: &'_ Source| source.is_production() && source.path.starts_with(&prefix);
    let files: Vec<_> = sources
        .iter()
        .filter(|source| inside(source))
        .map(|source| (&source.path[prefix.len()..], &*source.text))
        .collect();
    assert!(!files.is_empty(), "{folder}: no code");
    Crate::read(&files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(files: &[(&str, &str)]) -> Vec<String> {
        let krate = Crate::read(files);
        let line = |(from, to): (&Module, BTreeSet<&Module>)| {
            let to: Vec<_> = to.into_iter().map(|module| module.join("::")).collect();
            (!to.is_empty()).then(|| format!("{} -> {}", from.join("::"), to.join(", ")))
        };
        krate.edges().into_iter().filter_map(line).collect()
    }

    #[test]
    fn paths_lead_to_the_file_that_defines() {
        let files = [
            ("lib.rs", "pub mod a;\nmod b;\npub use b::c::Z;\n"),
            (
                "a/mod.rs",
                "mod x;\nmod y;\npub(crate) use x::{self, X as W};\npub use y::*;\n",
            ),
            ("a/x.rs", "pub struct X;\nuse super::Y;\n"),
            (
                "a/y.rs",
                "pub struct Y;\nfn f(_: super::super::b::c::Z) {}\n",
            ),
            (
                "b.rs",
                "pub mod c;\nfn f() { c::g(); m!(crate::a::W::new()); }\n",
            ),
            ("b/c.rs", "pub struct Z;\nuse crate::a::Y;\nuse std::io;\n"),
            ("main.rs", "use lib::b;\n"),
        ];
        assert_eq!(
            leads(&files),
            [
                "a::x -> a::y",
                "a::y -> b::c",
                "b -> a::x, b::c",
                "b::c -> a::y"
            ]
        );
    }

    #[test]
    fn tests_and_what_is_passed_on_lead_nowhere() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\n"),
            (
                "a.rs",
                "#[cfg(test)]\nmod tests { use crate::b::B; }\npub use crate::b::B;\n",
            ),
            (
                "b.rs",
                "pub struct B;\nmod inside { use super::super::a::f; }\n",
            ),
        ];
        assert_eq!(leads(&files), ["b -> a"]);
    }

    #[test]
    fn methods_are_counted_by_the_type_they_belong_to() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\n"),
            (
                "a.rs",
                "pub struct T<A>(A);\nimpl<A> T<A> {}\nimpl<A> Drop for T<A> {}\n",
            ),
            (
                "b.rs",
                "use super::a::T;\nimpl T<u8> {}\nstruct U;\nimpl U {}\n",
            ),
        ];
        let krate = Crate::read(&files);
        let count = |(home, name): (&Module, &str), files: usize| {
            format!("{} {name} {files}", home.join("::"))
        };
        let found: Vec<_> = krate
            .methods()
            .into_iter()
            .map(|(of, files)| count(of, files.len()))
            .collect();
        assert_eq!(found, ["a T 2", "b U 1"]);
    }
}
