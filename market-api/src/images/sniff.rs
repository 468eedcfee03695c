//! Picture format detection by the first bytes; names and declared types are not trusted.

/// The number of bytes that identify every accepted format.
pub const HEAD_BYTES: usize = 16;

/// An accepted picture format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG (JFIF or Exif).
    Jpeg,
    /// PNG.
    Png,
}

impl Format {
    /// The format of a file that begins with these bytes; `None` for others.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        // PNG 5.2: the signature, then the chunk IHDR of 13 bytes. JPEG: SOI, then another marker.
        const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR";
        const JPEG: &[u8] = b"\xff\xd8\xff";
        if head.starts_with(PNG) {
            Some(Self::Png)
        } else if head.starts_with(JPEG) {
            Some(Self::Jpeg)
        } else {
            None
        }
    }

    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &[u8], expected: Option<Format>) {
        assert_eq!(Format::of(head), expected, "{head:?}");
    }

    #[test]
    fn a_picture_is_known_by_its_first_bytes() {
        check(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", Some(Format::Png));
        check(b"\xff\xd8\xff\xe0\0\x10JFIF", Some(Format::Jpeg));
        check(b"\xff\xd8\xff\xe1\0\x10Exif", Some(Format::Jpeg));
        check(b"<svg xmlns=", None);
        check(b"<html>", None);
        check(b"GIF89a", None);
        check(b"\x89PNG\n\x1a\n", None);
        check(b"", None);
    }
}
