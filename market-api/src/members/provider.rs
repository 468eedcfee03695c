//! Login providers. The provider and the person's id there are the key of an account; `login` implements the
//! protocol.

/// A login provider, which vouches for the identity of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Kakao.
    Kakao,
    /// Google.
    Google,
    /// Naver.
    Naver,
}

impl Provider {
    /// All providers.
    pub const ALL: [Self; 3] = [Self::Kakao, Self::Google, Self::Naver];

    /// The name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kakao => "KAKAO",
            Self::Google => "GOOGLE",
            Self::Naver => "NAVER",
        }
    }

    /// The name in URL paths.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Kakao => "kakao",
            Self::Google => "google",
            Self::Naver => "naver",
        }
    }

    /// Parses the name in a URL path.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.path() == path)
    }
}
