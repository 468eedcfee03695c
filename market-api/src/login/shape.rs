//! Profile formats of the three providers (`domain.md` 9.1).

use serde::Deserialize;
use serde_json::Value;
use shared::text::is_blank;

use crate::members::Profile;
use crate::members::Provider;

/// Bounds of the database's columns.
const ID_CHARS_MAX: usize = 255;
const NAME_CHARS_MAX: usize = 100;
const EMAIL_CHARS_MAX: usize = 320;
const URL_CHARS_MAX: usize = 2_048;

/// The name of a member whose provider sends none ("member").
const NAMELESS: &str = "회원";

/// Parses a provider's profile response; `None` for an invalid one.
pub(super) fn profile(provider: Provider, answer: &Value) -> Option<Profile> {
    let told = match provider {
        Provider::Kakao => Kakao::deserialize(answer).ok()?.told(),
        Provider::Google => Google::deserialize(answer).ok()?.told(),
        Provider::Naver => Naver::deserialize(answer).ok()?.told()?,
    };
    let id_chars = told.id.chars().count();
    let is_id = (1..=ID_CHARS_MAX).contains(&id_chars) && !told.id.contains(char::is_control);
    is_id.then(|| Profile {
        provider,
        provider_id: told.id,
        email: told.email.filter(|email| is_address(email)),
        name: name(told.name.as_deref()),
        image_url: told.image_url.filter(|url| is_picture(url)),
    })
}

/// The fields of a profile, common to all formats.
#[derive(Default)]
struct Told {
    id: String,
    email: Option<String>,
    name: Option<String>,
    image_url: Option<String>,
}

#[derive(Deserialize)]
struct Kakao {
    id: u64,
    #[serde(default)]
    kakao_account: KakaoAccount,
}

#[derive(Default, Deserialize)]
struct KakaoAccount {
    email: Option<String>,
    #[serde(default)]
    is_email_valid: bool,
    #[serde(default)]
    is_email_verified: bool,
    #[serde(default)]
    profile: KakaoProfile,
}

#[derive(Default, Deserialize)]
struct KakaoProfile {
    nickname: Option<String>,
    profile_image_url: Option<String>,
}

impl Kakao {
    fn told(self) -> Told {
        let account = self.kakao_account;
        let is_theirs = account.is_email_valid && account.is_email_verified;
        Told {
            id: self.id.to_string(),
            email: account.email.filter(|_| is_theirs),
            name: account.profile.nickname,
            image_url: account.profile.profile_image_url,
        }
    }
}

#[derive(Deserialize)]
struct Google {
    sub: String,
    name: Option<String>,
    picture: Option<String>,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
}

impl Google {
    fn told(self) -> Told {
        Told {
            id: self.sub,
            email: self.email.filter(|_| self.email_verified),
            name: self.name,
            image_url: self.picture,
        }
    }
}

#[derive(Deserialize)]
struct Naver {
    resultcode: String,
    response: Option<NaverResponse>,
}

#[derive(Deserialize)]
struct NaverResponse {
    id: String,
    email: Option<String>,
    name: Option<String>,
    nickname: Option<String>,
    profile_image: Option<String>,
}

impl Naver {
    /// Naver reports failures in the same envelope as successes.
    fn told(self) -> Option<Told> {
        let response = self.response.filter(|_| self.resultcode == "00")?;
        Some(Told {
            id: response.id,
            // A contact address only: its owner can change it, so it is no identity.
            email: response.email,
            name: response.nickname.or(response.name),
            image_url: response.profile_image,
        })
    }
}

fn name(told: Option<&str>) -> String {
    let visible = told.unwrap_or_default().chars().filter(|c| !c.is_control());
    let name: String = visible.take(NAME_CHARS_MAX).collect();
    let name = name.trim();
    if is_blank(name) { NAMELESS } else { name }.to_owned()
}

fn is_address(email: &str) -> bool {
    let has_at = email
        .split_once('@')
        .is_some_and(|(who, at)| !who.is_empty() && !at.is_empty());
    let is_plain = !email.contains(|c: char| c.is_control() || c.is_whitespace());
    has_at && is_plain && email.chars().count() <= EMAIL_CHARS_MAX
}

fn is_picture(url: &str) -> bool {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic());
    is_web && is_plain && url.len() <= URL_CHARS_MAX
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The response parses to (id, name, e-mail), or is rejected.
    fn check(provider: Provider, answer: &Value, expected: Option<(&str, &str, Option<&str>)>) {
        let found = profile(provider, answer);
        let found = found
            .as_ref()
            .map(|p| (&*p.provider_id, &*p.name, p.email.as_deref()));
        assert_eq!(found, expected, "{answer}");
    }

    #[test]
    fn profile_formats_of_the_providers_are_parsed() {
        let kakao = json!({"id": 1_234_567_890_123_u64, "kakao_account": {
            "email": "a@b.example", "is_email_valid": true, "is_email_verified": true,
            "email_needs_agreement": false,
            "profile": {"nickname": "바다", "profile_image_url": "http://k.example/a.png"}}});
        check(
            Provider::Kakao,
            &kakao,
            Some(("1234567890123", "바다", Some("a@b.example"))),
        );
        let google = json!({"sub": "s", "name": "Ha", "email": "a@b.example",
            "email_verified": true, "picture": "https://g.example/a"});
        check(
            Provider::Google,
            &google,
            Some(("s", "Ha", Some("a@b.example"))),
        );
        let naver = json!({"resultcode": "00", "message": "success", "response": {
            "id": "n", "nickname": "하늘", "name": "이하늘", "email": "a@b.example"}});
        check(
            Provider::Naver,
            &naver,
            Some(("n", "하늘", Some("a@b.example"))),
        );
    }

    #[test]
    fn email_may_be_missing_or_unverified() {
        check(
            Provider::Kakao,
            &json!({"id": 1}),
            Some(("1", "회원", None)),
        );
        let kakao = json!({"id": 1, "kakao_account": {"email": "a@b.example",
            "is_email_valid": true, "is_email_verified": false}});
        check(Provider::Kakao, &kakao, Some(("1", "회원", None)));
        let google = json!({"sub": "s", "email": "a@b.example", "email_verified": false});
        check(Provider::Google, &google, Some(("s", "회원", None)));
        let naver = json!({"resultcode": "00", "response": {"id": "n", "email": "\n@x"}});
        check(Provider::Naver, &naver, Some(("n", "회원", None)));
    }

    #[test]
    fn invalid_profile_is_rejected() {
        check(Provider::Kakao, &json!({"id": "1"}), None);
        check(Provider::Kakao, &json!({"code": -401}), None);
        check(Provider::Google, &json!({"sub": ""}), None);
        check(Provider::Google, &json!({"sub": "x".repeat(256)}), None);
        check(Provider::Naver, &json!({"resultcode": "024"}), None);
        check(
            Provider::Naver,
            &json!({"resultcode": "024", "response": {"id": "n"}}),
            None,
        );
        check(Provider::Naver, &json!([]), None);
    }

    #[test]
    fn display_names_are_sanitised() {
        assert_eq!(name(Some(" a\nb\u{7} ")), "ab");
        assert_eq!(name(Some("  ")), NAMELESS);
        assert_eq!(name(Some("\u{200b}\u{3164}")), NAMELESS);
        assert_eq!(name(Some(&"가".repeat(200))).chars().count(), 100);
        assert!(!is_picture("javascript:alert(1)"));
        assert!(!is_picture("https://x/\" onload=\"y"));
    }
}
