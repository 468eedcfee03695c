//! The login providers that members come from. With the id that a provider gives a person, its name is the
//! key of an account; `login` has the protocol.

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
    /// Every provider.
    pub const ALL: [Self; 3] = [Self::Kakao, Self::Google, Self::Naver];

    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kakao => "KAKAO",
            Self::Google => "GOOGLE",
            Self::Naver => "NAVER",
        }
    }

    /// Its name in paths.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Kakao => "kakao",
            Self::Google => "google",
            Self::Naver => "naver",
        }
    }

    /// The provider of this name in paths.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.path() == path)
    }
}
