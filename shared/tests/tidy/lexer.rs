//! Tells code from comments and literals, as far as the rules need it. It has no grammar: which
//! word is a keyword or a type, the rules must see for themselves.

/// What a piece of a Rust file is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Code,
    Comment,
    /// A string, byte string or C string with its quotes, raw or not.
    Text,
    /// A character or byte.
    Char,
}

/// The file with comments and literals replaced by blanks; every line stays where it was.
pub(crate) fn code(text: &str) -> String {
    pieces(text)
        .into_iter()
        .map(|(kind, piece)| {
            if kind == Kind::Code {
                piece.to_owned()
            } else {
                blank(piece)
            }
        })
        .collect()
}

/// The contents of all string literals, escapes as written.
pub(crate) fn strings(text: &str) -> Vec<&str> {
    pieces(text)
        .into_iter()
        .filter(|(kind, _)| *kind == Kind::Text)
        .filter_map(|(_, piece)| {
            let (_, inner) = piece.split_once('"')?;
            Some(inner.trim_end_matches('#').trim_end_matches('"'))
        })
        .collect()
}

/// Like `text`, without its `mod tests { … }`; rustfmt puts the closing brace in the first column.
pub(crate) fn without_tests(text: &str) -> String {
    let blanked = code(text);
    let mut kept = String::new();
    let mut inside = false;
    for (line, code_line) in text.lines().zip(blanked.lines()) {
        inside |= code_line == "mod tests {";
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
        inside &= code_line != "}";
    }
    kept
}

/// The identifiers in blanked code, each with the byte where it starts.
pub(crate) fn identifiers(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + code[rest..].find(is_part)?;
        let length = code[start..]
            .find(|c| !is_part(c))
            .unwrap_or(code.len() - start);
        rest = start + length;
        Some((start, &code[start..rest]))
    })
}

fn blank(piece: &str) -> String {
    piece
        .chars()
        .map(|c| if c == '\n' { '\n' } else { ' ' })
        .collect()
}

fn pieces(text: &str) -> Vec<(Kind, &str)> {
    let mut found = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < text.len() {
        let (kind, length) = literal_or_comment(&text[..at], &text[at..]);
        if kind == Kind::Code {
            at += length;
            continue;
        }
        found.push((Kind::Code, &text[start..at]));
        found.push((kind, &text[at..at + length]));
        at += length;
        start = at;
    }
    found.push((Kind::Code, &text[start..]));
    found
}

/// What `rest` begins with and how long it is; code comes one character at a time.
fn literal_or_comment(before: &str, rest: &str) -> (Kind, usize) {
    let first = rest.chars().next().map_or(1, char::len_utf8);
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Kind::Comment, block_comment(rest));
    }
    if rest.starts_with('"') {
        return (Kind::Text, quoted(rest, '"'));
    }
    let starts_word = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    if starts_word && let Some(length) = raw_string(rest) {
        return (Kind::Text, length);
    }
    if rest.starts_with('\'') && is_char(rest) {
        return (Kind::Char, quoted(rest, '\''));
    }
    (Kind::Code, first)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#`, also after `b` or `c`.
fn raw_string(rest: &str) -> Option<usize> {
    let after_prefix = rest
        .strip_prefix(['b', 'c'])
        .unwrap_or(rest)
        .strip_prefix('r')?;
    let body = after_prefix.trim_start_matches('#');
    let hashes = after_prefix.len() - body.len();
    let inner = body.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let closed = inner
        .find(&end)
        .map_or(inner.len(), |found| found + end.len());
    Some(rest.len() - inner.len() + closed)
}

/// Up to the closing quote that no backslash escapes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// `'a'` and `'\n'` are characters; the `'a` of a lifetime or label has no quote behind it.
fn is_char(rest: &str) -> bool {
    let mut next = rest.chars().skip(1);
    next.next() == Some('\\') || next.next() == Some('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(code(text), expected, "{text}");
    }

    #[test]
    fn comments_and_literals_become_blanks() {
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d */ e", "a                   e");
        check(r#"f("a\"b", 1)"#, "f(      , 1)");
        check(r##"f(r#"a"b"#, br"x")"##, "f(        ,      )");
        check("f('\"', b'\\'', 'a')", "f(   , b    ,    )");
        check(
            "fn f<'a>(x: &'a str) -> &'a str",
            "fn f<'a>(x: &'a str) -> &'a str",
        );
        check("let r = for_r\"x\"", "let r = for_r   ");
        check("\"über\" + x", "       + x");
    }

    #[test]
    fn strings_are_found_in_code_only() {
        let text = r##"x("a"); // "b"
            y(r#"c"#, '"', "d")"##;
        assert_eq!(strings(text), ["a", "c", "d"]);
    }

    #[test]
    fn the_test_module_is_cut_out() {
        let text = "a\n#[cfg(test)]\nmod tests {\n    x {\n    }\n}\nb\n";
        assert_eq!(without_tests(text), "a\n#[cfg(test)]\nb\n");
        let fooled = "/*\nmod tests {\n*/\nb\n";
        assert_eq!(without_tests(fooled), fooled);
    }

    #[test]
    fn identifiers_are_whole_words() {
        let words: Vec<_> = identifiers("crate::a_b(c1)")
            .map(|(_, word)| word)
            .collect();
        assert_eq!(words, ["crate", "a_b", "c1"]);
    }
}
