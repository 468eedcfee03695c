//! Rules about text that people write, and the languages of the site's own texts.
//!
//! A message or title of invisible characters passes every check of its length. Both servers refuse
//! such texts, so the rule is shared.
//!
//! What this module does not do: other rules of a field.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// What the member of a closed account is called on both servers: in one language, since names are the same for
/// all readers.
pub const CLOSED_NAME: &str = "탈퇴한 회원";

/// A language of error texts and notifications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Language {
    /// Korean, the default.
    #[default]
    #[serde(rename = "ko")]
    Korean,
    /// English.
    #[serde(rename = "en")]
    English,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Korean, Self::English];

    /// The language tag in requests, in events and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Korean => "ko",
            Self::English => "en",
        }
    }

    /// The language with this tag.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|language| language.as_str() == name)
    }
}

/// Unicode's `Default_Ignorable_Code_Point`, whole: characters that are not displayed unless a font
/// supports them. The ranges cover what is reserved for the same use, so they change rarely
/// (`DerivedCoreProperties.txt`, 16.0). Rising.
const IGNORABLE: [RangeInclusive<char>; 17] = [
    '\u{00AD}'..='\u{00AD}',   // soft hyphen
    '\u{034F}'..='\u{034F}',   // combining grapheme joiner
    '\u{061C}'..='\u{061C}',   // Arabic letter mark
    '\u{115F}'..='\u{1160}',   // Hangul jamo fillers
    '\u{17B4}'..='\u{17B5}',   // Khmer inherent vowels
    '\u{180B}'..='\u{180F}',   // Mongolian variation selectors
    '\u{200B}'..='\u{200F}',   // zero-width space, joiners, direction marks
    '\u{202A}'..='\u{202E}',   // directional embeddings
    '\u{2060}'..='\u{206F}',   // word joiner, invisible operators, isolates
    '\u{3164}'..='\u{3164}',   // Hangul filler
    '\u{FE00}'..='\u{FE0F}',   // variation selectors
    '\u{FEFF}'..='\u{FEFF}',   // byte order mark
    '\u{FFA0}'..='\u{FFA0}',   // halfwidth Hangul filler
    '\u{FFF0}'..='\u{FFF8}',   // reserved
    '\u{1BCA0}'..='\u{1BCA3}', // shorthand format controls
    '\u{1D173}'..='\u{1D17A}', // musical format controls
    '\u{E0000}'..='\u{E0FFF}', // tags, more variation selectors, reserved
];

/// Characters that are neither spaces nor ignorable by their property, but are invisible.
const EMPTY: [RangeInclusive<char>; 3] = [
    '\u{2800}'..='\u{2800}',   // Braille pattern blank
    '\u{FFF9}'..='\u{FFFB}',   // interlinear annotation marks
    '\u{1D159}'..='\u{1D159}', // musical null notehead
];

/// A text as it is stored: without spaces around it. `None` for more than `chars_max` characters, one made only of
/// characters that are not displayed, and one with NUL, which PostgreSQL cannot store.
#[must_use]
pub fn bounded(text: &str, chars_max: usize) -> Option<&str> {
    let trimmed = text.trim();
    let shows_nothing = !trimmed.is_empty() && is_blank(trimmed);
    let is_refused = shows_nothing || trimmed.chars().count() > chars_max || trimmed.contains('\0');
    (!is_refused).then_some(trimmed)
}

/// Whether a text is invisible: empty, or made only of spaces, controls and characters that are not
/// displayed.
///
/// Such characters are allowed beside visible ones: emoji are joined by them, and some scripts need
/// them.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars().all(shows_nothing)
}

fn shows_nothing(c: char) -> bool {
    let is_in = |ranges: &[RangeInclusive<char>]| ranges.iter().any(|range| range.contains(&c));
    c.is_whitespace() || c.is_control() || is_in(&IGNORABLE) || is_in(&EMPTY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_has_one_tag_everywhere() {
        for language in Language::ALL {
            let json = serde_json::to_value(language).unwrap();
            assert_eq!(json, language.as_str());
            assert_eq!(Language::parse(language.as_str()), Some(language));
        }
        assert_eq!(Language::parse("KO"), None);
    }

    #[test]
    fn what_shows_nothing_is_blank() {
        let blank = [
            "",
            " \t\r\n",
            "\u{a0}\u{3000}\u{2028}\u{85}",
            "\u{200b}",
            "\u{2800}\u{2800}",
            "\u{3164}",
            "\u{115f}\u{1160}\u{ffa0}",
            "\u{ad}\u{34f}\u{61c}\u{180e}",
            "\u{200e}\u{202e}\u{2066}\u{feff}",
            "\u{fe0f}\u{e0100}\u{e0041}",
            "\0\u{7f}\u{9b}",
            "\u{fff9}\u{fffb}\u{1d159}\u{1d173}",
        ];
        for text in blank {
            assert!(is_blank(text), "{text:?}");
        }
    }

    #[test]
    fn what_shows_something_is_not_blank() {
        let visible = [
            ".",
            "가",
            "\u{200b}a\u{200b}",
            "👨\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}",
            "\u{2801}",
            "ㅤㅤ!",
            "\u{fffd}",
            "ᄀ",
        ];
        for text in visible {
            assert!(!is_blank(text), "{text:?}");
        }
    }

    #[test]
    fn a_bounded_text_is_counted_in_characters() {
        assert_eq!(bounded(" 가나다 ", 3), Some("가나다"));
        assert_eq!(bounded("", 3), Some(""));
        assert_eq!(bounded(" \n ", 3), Some(""));
        for refused in ["가나다라", "a\0b", "\u{200b}", " \u{3164} "] {
            assert_eq!(bounded(refused, 3), None, "{refused:?}");
        }
    }

    #[test]
    fn the_ranges_rise_and_do_not_meet() {
        for ranges in [&IGNORABLE[..], &EMPTY] {
            let rise = ranges
                .windows(2)
                .all(|pair| pair[0].end() < pair[1].start());
            assert!(rise);
        }
    }
}
