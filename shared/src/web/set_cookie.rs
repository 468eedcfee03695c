//! `Set-Cookie` headers, in the one form in which this site sets cookies.
//!
//! What this module does not do: read cookies; see [`cookies`](super::cookies). The crate `cookie` is
//! not used: it checks neither names nor values, and takes times of the crate `time`.

use std::time::Duration;

use http::HeaderValue;
use http::header::InvalidHeaderValue;

/// A cookie for all paths, not for scripts, not for requests that other sites cause.
#[derive(Clone, Copy, Debug)]
pub struct SetCookie<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value, made of characters that need no quotes (RFC 6265, 4.1.1).
    pub value: &'a str,
    /// Its lifetime; zero removes it.
    pub lifetime: Duration,
    /// The domain whose hosts all get it; `None` = this host only.
    pub domain: Option<&'a str>,
    /// Whether it is sent over TLS only.
    pub secure: bool,
}

impl SetCookie<'_> {
    /// The header's value, kept out of logs.
    ///
    /// # Errors
    /// A part holds a character that no header may hold.
    pub fn header(&self) -> Result<HeaderValue, InvalidHeaderValue> {
        let (name, value, seconds) = (self.name, self.value, self.lifetime.as_secs());
        let mut text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax");
        if let Some(domain) = self.domain {
            text.push_str("; Domain=");
            text.push_str(domain);
        }
        if self.secure {
            text.push_str("; Secure");
        }
        let mut header = HeaderValue::try_from(text)?;
        header.set_sensitive(true);
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_has_its_attributes_and_is_kept_out_of_logs() {
        let mut cookie = SetCookie {
            name: "a",
            value: "b.c",
            lifetime: Duration::from_secs(60),
            domain: None,
            secure: false,
        };
        let header = cookie.header().unwrap();
        assert_eq!(header, "a=b.c; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
        assert!(header.is_sensitive());
        cookie.domain = Some("dapanda.example");
        cookie.secure = true;
        assert_eq!(
            cookie.header().unwrap(),
            "a=b.c; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Domain=dapanda.example; Secure"
        );
        cookie.value = "b\r\nSet-Cookie: c";
        assert!(cookie.header().is_err());
    }
}
