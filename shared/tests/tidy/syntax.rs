//! A Rust file as the rules need it: its items by `syn`, its words, texts and paths by tokens.
//!
//! Tokens also show what stands inside macros, which no grammar describes. What no rule can see here
//! is what a macro makes of them.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::spanned::Spanned as _;
use syn::{Attribute, Item, Meta, UseTree};

/// A path as the code writes it: `super::ring::{Ring, self}` are `super::ring::Ring` and `super::ring`.
#[derive(Debug, PartialEq)]
pub(crate) struct CodePath {
    pub(crate) names: Vec<String>,
    /// How many modules written inside the file stand around it.
    pub(crate) depth: usize,
}

/// The items of a file; rustc reads it as well, so that only an example of a rule can fail here.
pub(crate) fn items(text: &str) -> Vec<Item> {
    syn::parse_file(text)
        .unwrap_or_else(|error| unreachable!("this is not Rust: {error}\n{text}"))
        .items
}

/// The items that are built without tests, too.
pub(crate) fn production_items(text: &str) -> Vec<Item> {
    let mut items = items(text);
    items.retain(|item| !is_test(item));
    items
}

/// The text without the lines of what is built for tests only.
pub(crate) fn without_tests(text: &str) -> String {
    let tests: Vec<_> = items(text)
        .iter()
        .filter(|item| is_test(item))
        .map(|item| item.span().start().line..=item.span().end().line)
        .collect();
    let is_kept = |(index, _): &(usize, &str)| !tests.iter().any(|t| t.contains(&(index + 1)));
    text.lines()
        .enumerate()
        .filter(is_kept)
        .flat_map(|(_, line)| [line, "\n"])
        .collect()
}

/// All tokens of some items.
pub(crate) fn tokens(items: &[Item]) -> TokenStream {
    items.iter().map(|item| item.to_token_stream()).collect()
}

/// The identifiers of the code, keywords among them, in their order.
pub(crate) fn words(code: &TokenStream) -> Vec<String> {
    let mut found = Vec::new();
    each_token(code, &mut |token| {
        if let TokenTree::Ident(word) = token {
            found.push(word.to_string());
        }
    });
    found
}

/// The contents of all string literals but those of documentation.
pub(crate) fn strings(code: &TokenStream) -> Vec<String> {
    let mut found = Vec::new();
    each_token(code, &mut |token| {
        if let TokenTree::Literal(literal) = token
            && let Ok(text) = syn::parse2::<syn::LitStr>(token_stream(literal.clone()))
        {
            found.push(text.value());
        }
    });
    found
}

fn token_stream(literal: proc_macro2::Literal) -> TokenStream {
    TokenTree::Literal(literal).into()
}

/// Calls `see` for every token at any depth; comments of documentation are attributes and left out.
fn each_token(code: &TokenStream, see: &mut impl FnMut(&TokenTree)) {
    let trees: Vec<_> = code.clone().into_iter().collect();
    for (at, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Group(group) if is_doc(&trees[..at], group) => {}
            TokenTree::Group(group) => each_token(&group.stream(), see),
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => see(tree),
        }
    }
}

/// `#[doc = "…"]` or `#![doc = "…"]`, which is what a comment of documentation becomes.
fn is_doc(before: &[TokenTree], group: &proc_macro2::Group) -> bool {
    let after_hash = matches!(
        before,
        [.., TokenTree::Punct(mark)] if ['#', '!'].contains(&mark.as_char())
    );
    let first = group.stream().into_iter().next();
    after_hash && matches!(first, Some(TokenTree::Ident(word)) if word == "doc")
}

/// Every path of two names or more.
pub(crate) fn paths(code: &TokenStream) -> Vec<CodePath> {
    let mut found = Vec::new();
    collect_paths(code, 0, &mut found);
    found
}

fn collect_paths(code: &TokenStream, depth: usize, found: &mut Vec<CodePath>) {
    let trees: Vec<_> = code.clone().into_iter().collect();
    let mut at = 0;
    while at < trees.len() {
        match &trees[at..] {
            // `pub(in crate::hub)` is a visibility, not a use of the module.
            [TokenTree::Ident(word), TokenTree::Group(_), ..] if word == "pub" => at += 2,
            [
                TokenTree::Ident(word),
                TokenTree::Ident(_),
                TokenTree::Group(inside),
                ..,
            ] if word == "mod" && inside.delimiter() == Delimiter::Brace => {
                collect_paths(&inside.stream(), depth + 1, found);
                at += 3;
            }
            [TokenTree::Ident(_), ..] => at += path_at(&trees[at..], &[], depth, found),
            [TokenTree::Group(group), ..] => {
                collect_paths(&group.stream(), depth, found);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// Reads the path that begins here, behind `before`, and gives how many tokens it has.
fn path_at(
    trees: &[TokenTree],
    before: &[String],
    depth: usize,
    found: &mut Vec<CodePath>,
) -> usize {
    let mut names = before.to_vec();
    let mut at = 0;
    loop {
        match trees.get(at) {
            Some(TokenTree::Ident(name)) => names.push(unraw(name)),
            Some(TokenTree::Punct(star)) if star.as_char() == '*' && !names.is_empty() => {
                names.push("*".to_owned());
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace && at > 0 => {
                for part in parts(&group.stream()) {
                    path_at(&part, &names, depth, found);
                }
                return at + 1;
            }
            // The `<` of type arguments, or no path at all.
            _ => break,
        }
        at += 1;
        if !is_separator(trees.get(at), trees.get(at + 1)) {
            break;
        }
        at += 2;
    }
    if names.last().is_some_and(|last| last == "self") && names.len() > 1 {
        names.pop();
    }
    if names.len() > 1 {
        found.push(CodePath { names, depth });
    }
    at.max(1)
}

fn is_separator(first: Option<&TokenTree>, second: Option<&TokenTree>) -> bool {
    let is_colon = |tree: Option<&TokenTree>| matches!(tree, Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    is_colon(first) && is_colon(second)
}

/// What stands between the commas of a group.
fn parts(group: &TokenStream) -> Vec<Vec<TokenTree>> {
    let trees: Vec<_> = group.clone().into_iter().collect();
    let is_comma =
        |tree: &TokenTree| matches!(tree, TokenTree::Punct(mark) if mark.as_char() == ',');
    trees.split(is_comma).map(<[_]>::to_vec).collect()
}

fn unraw(name: &proc_macro2::Ident) -> String {
    let name = name.to_string();
    name.strip_prefix("r#").unwrap_or(&name).to_owned()
}

/// What a `use` brings in: the name here (`*` for all), and the path it stands for.
pub(crate) fn imports(tree: &UseTree) -> Vec<(String, Vec<String>)> {
    match tree {
        UseTree::Path(path) => {
            let inner = imports(&path.tree);
            let with_first = |(name, mut rest): (String, Vec<String>)| {
                rest.insert(0, unraw(&path.ident));
                (name, rest)
            };
            inner.into_iter().map(with_first).collect()
        }
        UseTree::Name(name) => vec![(unraw(&name.ident), vec![unraw(&name.ident)])],
        UseTree::Rename(rename) => vec![(unraw(&rename.rename), vec![unraw(&rename.ident)])],
        UseTree::Glob(_) => vec![("*".to_owned(), vec!["*".to_owned()])],
        UseTree::Group(group) => group.items.iter().flat_map(imports).collect(),
    }
}

/// `#[cfg(test)]`, or a test itself.
fn is_test(item: &Item) -> bool {
    attributes(item)
        .iter()
        .any(|attribute| match &attribute.meta {
            Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
            Meta::Path(path) => path.is_ident("test"),
            Meta::NameValue(_) => false,
        })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Verbatim(_) | _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> TokenStream {
        tokens(&items(text))
    }

    #[test]
    fn words_are_those_of_the_code_only() {
        let text = "/// A comment.\n#[inline]\nfn f<'a>(x: &'a str) { g!(r#type, \"b\"); } // c\n";
        let found = words(&code(text));
        assert!(!found.contains(&"comment".to_owned()));
        assert_eq!(found.first().map(String::as_str), Some("inline"));
        assert!(found.contains(&"r#type".to_owned()) && !found.contains(&"c".to_owned()));
    }

    #[test]
    fn strings_are_found_in_code_only() {
        let text = "/// \"a\"\nfn f() { x(\"b\", '\"', r#\"c\"#, m!(\"d\")); } // \"e\"\n";
        assert_eq!(strings(&code(text)), ["b", "c", "d"]);
    }

    #[test]
    fn what_is_built_for_tests_is_cut_out() {
        let text = "//! A.\nfn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\nfn h() {}\n";
        assert_eq!(without_tests(text), "//! A.\nfn f() {}\nfn h() {}\n");
        assert_eq!(production_items(text).len(), 2);
        let declared = "#[cfg(test)]\nmod tests;\nfn f() {}\n";
        assert_eq!(without_tests(declared), "fn f() {}\n");
        let fooled = "/*\nmod tests {\n*/\nfn f() {}\n";
        assert_eq!(without_tests(fooled), fooled);
    }

    #[test]
    fn paths_are_read_from_groups_modules_and_macros() {
        let text = "use super::{ring::{self, Ring as R}, all::*};\n\
            pub(in crate::hidden) fn f() { a::b::<c::d>(); m!(x::Y); }\n\
            mod inside { use super::super::z; }\n";
        let found: Vec<_> = paths(&code(text))
            .into_iter()
            .map(|path| (path.names.join("::"), path.depth))
            .collect();
        let expected = [
            ("super::ring", 0),
            ("super::ring::Ring", 0),
            ("super::all::*", 0),
            ("a::b", 0),
            ("c::d", 0),
            ("x::Y", 0),
            ("super::super::z", 1),
        ];
        assert_eq!(
            found,
            expected.map(|(path, depth)| (path.to_owned(), depth))
        );
    }

    #[test]
    fn imports_keep_the_name_that_they_have_here() {
        let Some(Item::Use(item)) = items("use a::{b::C as D, e, f::*};").pop() else {
            panic!("one use");
        };
        let found: Vec<_> = imports(&item.tree)
            .into_iter()
            .map(|(name, path)| format!("{name}={}", path.join("::")))
            .collect();
        assert_eq!(found, ["D=a::b::C", "e=a::e", "*=a::f::*"]);
    }
}
