//! Lines of output: a kind, an id, then `name=value`, read from a query's rows.

use std::fmt::{self, Write as _};
use std::time::Duration;

use shared::clock::{LocalDateTime, UnixMillis};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _, query};

use crate::db::row::{column, optional};

/// Bound of a text in a line, in characters.
const TEXT_CHARS_MAX: usize = 400;

/// How a column is shown. Null is `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum As {
    Number,
    /// Quoted where a character is not plain.
    Text,
    /// In Korean time.
    Moment,
    /// The time since that moment.
    Age,
    /// `yes` or `no`.
    Flag,
}

/// A field of a line: its name, the column, the form.
pub(super) type Field = (&'static str, &'static str, As);

/// Lines of one kind: a query whose `id` column names the row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub(super) kind: &'static str,
    pub(super) text: &'static str,
    pub(super) fields: &'static [Field],
}

impl Section {
    /// The lines of the rows that the query finds for these numbers.
    pub(super) async fn lines(
        &self,
        connection: &mut AnyConnection,
        numbers: &[i64],
        name: Option<&str>,
        now: UnixMillis,
    ) -> Result<Vec<String>, sqlx::Error> {
        let mut find = query(self.text);
        for number in numbers {
            find = find.bind(*number);
        }
        if let Some(name) = name {
            find = find.bind(name);
        }
        let rows = find.fetch_all(connection).await?;
        rows.iter().map(|row| self.line(row, now)).collect()
    }

    fn line(&self, row: &AnyRow, now: UnixMillis) -> Result<String, sqlx::Error> {
        let id: i64 = column(row, "id")?;
        let mut line = format!("{} {id}", self.kind);
        for (name, of, form) in self.fields {
            let written = match form {
                As::Text => {
                    let text: Option<String> = row.try_get(of)?;
                    write!(line, " {name}={}", Shown(text.as_deref()))
                }
                As::Number => {
                    let number: Option<i64> = optional(row, of)?;
                    write!(line, " {name}={}", OrDash(number))
                }
                As::Moment => {
                    let at: Option<UnixMillis> = optional(row, of)?;
                    write!(line, " {name}={}", OrDash(at.map(LocalDateTime::from_unix)))
                }
                As::Age => {
                    let at: Option<UnixMillis> = optional(row, of)?;
                    let age = at.map(|at| Age(now.saturating_since(at)));
                    write!(line, " {name}={}", OrDash(age))
                }
                As::Flag => {
                    let flag: Option<bool> = optional(row, of)?;
                    let word = flag.map(|flag| if flag { "yes" } else { "no" });
                    write!(line, " {name}={}", OrDash(word))
                }
            };
            written.map_err(|error| sqlx::Error::Decode(error.into()))?;
        }
        Ok(line)
    }
}

struct OrDash<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// A stored text: as it is if all of it is plain, else quoted and escaped, so that it stays in its line and its
/// field. Cut where it is long.
struct Shown<'a>(Option<&'a str>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(text) = self.0 else {
            return f.write_str("-");
        };
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if !text.is_empty()
            && text != "-"
            && text.len() <= TEXT_CHARS_MAX
            && text.bytes().all(is_plain)
        {
            return f.write_str(text);
        }
        let end = text.char_indices().nth(TEXT_CHARS_MAX);
        let Some((end, _)) = end else {
            return write!(f, "{text:?}");
        };
        write!(f, "{:?}({} bytes more)", &text[..end], text.len() - end)
    }
}

/// A duration in its two largest units: `3d4h`, `5m0s`, `7s`.
struct Age(Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds}s"),
            (0, 0, _) => write!(f, "{minutes}m{}s", seconds % 60),
            (0, _, _) => write!(f, "{hours}h{}m", minutes % 60),
            _ => write!(f, "{days}d{}h", hours % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_field() {
        let shown = |text: &str| Shown(Some(text)).to_string();
        assert_eq!(shown("PROVIDER_ERROR"), "PROVIDER_ERROR");
        assert_eq!(shown("a\nb c=\"d\""), r#""a\nb c=\"d\"""#);
        assert_eq!(shown("\u{1b}[2J"), r#""\u{1b}[2J""#);
        assert_eq!(shown("a\u{202e}b\u{2028}"), r#""a\u{202e}b\u{2028}""#);
        assert_eq!(shown("간편결제"), "\"간편결제\"");
        assert_eq!(
            (shown(""), shown("-")),
            ("\"\"".to_owned(), "\"-\"".to_owned())
        );
        assert_eq!(Shown(None).to_string(), "-");
        let long = shown(&"가".repeat(TEXT_CHARS_MAX + 2));
        assert!(long.ends_with("가\"(6 bytes more)"), "{long}");
    }

    #[test]
    fn age_has_its_two_largest_units() {
        let check = |seconds, expected: &str| {
            assert_eq!(Age(Duration::from_secs(seconds)).to_string(), expected);
        };
        check(7, "7s");
        check(300, "5m0s");
        check(3_660, "1h1m");
        check(86_400 * 3 + 4 * 3_600 + 59, "3d4h");
    }
}
