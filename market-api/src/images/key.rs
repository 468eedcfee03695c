//! Object keys of pictures: unguessable, and free of the uploader's own text.
//!
//! What this module does not do: track which keys are in use (`repo`).

use std::fmt;
use std::str::FromStr;

use shared::ids::MemberId;

use super::Format;

/// Bound of a file name in bytes, that of most file systems.
const FILENAME_BYTES_MAX: usize = 255;

/// The key of a published file: `images/{member}/{random}.{format}`. The random part prevents guessing;
/// only the extension comes from the file's own name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    member: MemberId,
    name: String,
}

/// The text is not a valid key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the place of a picture")]
pub struct InvalidKey;

impl Key {
    pub(super) fn new(member: MemberId, extension: &str) -> Self {
        let random = format!("{:032x}", rand::random::<u128>());
        let parts = [
            &random[..8],
            &random[8..12],
            &random[12..16],
            &random[16..20],
            &random[20..],
        ];
        Self {
            member,
            name: format!("{}.{extension}", parts.join("-")),
        }
    }

    /// The member who uploads the file.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// The key of the upload, before its check.
    #[must_use]
    pub fn upload_place(&self) -> String {
        format!("uploads/{}/{}", self.member, self.name)
    }

    /// The format that the extension declares.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        extension(&self.name).map(|(format, _)| format)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "images/{}/{}", self.member, self.name)
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let rest = text.strip_prefix("images/").ok_or(InvalidKey)?;
        let (member, name) = rest.split_once('/').ok_or(InvalidKey)?;
        let member = member.parse().map_err(|_not_an_id| InvalidKey)?;
        let (stem, ending) = name.split_once('.').ok_or(InvalidKey)?;
        let is_random = stem.len() == 36
            && stem
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b"abcdef-".contains(&byte));
        let is_known = extension(name).is_some_and(|(_, known)| known == ending);
        if !is_random || !is_known {
            return Err(InvalidKey);
        }
        Ok(Self {
            member,
            name: name.to_owned(),
        })
    }
}

/// The format by the file name's extension, and the extension in lower case.
pub(super) fn extension(name: &str) -> Option<(Format, &'static str)> {
    let (stem, ending) = name.rsplit_once('.')?;
    if stem.is_empty() || name.len() > FILENAME_BYTES_MAX {
        return None;
    }
    let known = [
        (Format::Jpeg, "jpg"),
        (Format::Jpeg, "jpeg"),
        (Format::Png, "png"),
    ];
    known
        .into_iter()
        .find(|(_, known)| ending.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> MemberId {
        MemberId::try_from(7_u64).unwrap()
    }

    #[test]
    fn keys_round_trip_and_cannot_be_guessed() {
        let key = Key::new(member(), "png");
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        assert_eq!(key.format(), Some(Format::Png));
        assert_ne!(Key::new(member(), "png"), key);
    }

    #[test]
    fn nothing_of_a_path_gets_into_a_key() {
        let good = Key::new(member(), "jpg").to_string();
        for text in [
            "",
            "images/7/../8/x.png",
            "images/7/x.png",
            "images//x.png",
            &good.replace("images/", "other/"),
            &good.replace("/7/", "/07/"),
            &good.replace(".jpg", ".exe"),
            &good.replace(".jpg", ".php.jpg"),
            &good.replace('-', "/"),
        ] {
            assert_eq!(text.parse::<Key>(), Err(InvalidKey), "{text}");
        }
    }

    #[test]
    fn a_name_says_what_a_file_is() {
        let ending = |name: &str| extension(name).map(|(_, ending)| ending);
        assert_eq!(ending("사진.JPG"), Some("jpg"));
        assert_eq!(ending("a.b.jpeg"), Some("jpeg"));
        assert_eq!(ending("../../etc/x.png"), Some("png"));
        for name in [
            "",
            ".png",
            "png",
            "a.gif",
            "a.png.exe",
            "a.svg",
            "a.png ",
            "a.",
        ] {
            assert_eq!(ending(name), None, "{name}");
        }
        assert_eq!(ending(&format!("{}.png", "x".repeat(252))), None);
    }
}
