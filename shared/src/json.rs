//! Strict JSON input, accepted in exactly the shapes of the contract.
//!
//! Derived serde code is more lenient than a contract: it accepts an array of fields for a struct,
//! and an object for the name of an enum variant. [`from_object`] accepts a body that is one
//! object, and at every depth objects for structs and strings for names.
//!
//! It does not refuse unknown fields: clients of other versions send them.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer as _,
    MapAccess, SeqAccess, Visitor,
};

/// Replacement for half of a surrogate pair, as an escape: U+FFFD.
const REPLACEMENT: &[u8; 6] = b"\\ufffd";

/// Reads a body that is one JSON object, with nothing after it.
///
/// Repeated, missing and mistyped fields are refused, as are bytes that are not UTF-8. Half of a
/// surrogate pair counts as U+FFFD: clients send it when they cut a text inside an emoji, and
/// browsers replace it in the same way.
///
/// # Errors
/// The body has another form.
pub fn from_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let text = std::str::from_utf8(body).map_err(serde_json::Error::custom)?;
    let whole = replace_half_surrogates(text.as_bytes());
    let mut json = serde_json::Deserializer::from_slice(&whole);
    let value = json.deserialize_map(Root(PhantomData))?;
    json.end()?;
    Ok(value)
}

/// `\ud800` to `\udfff` without its other half, replaced in place. Backslashes occur only in
/// strings; invalid JSON is refused later.
fn replace_half_surrogates(json: &[u8]) -> Cow<'_, [u8]> {
    let mut whole = Cow::Borrowed(json);
    let mut at = 0;
    while let Some(start) = next_escape(json, at) {
        at = start + 2;
        match escaped_unit(json, start) {
            Some(0xd800..=0xdbff) => {
                let low = escaped_unit(json, start + 6);
                if matches!(low, Some(0xdc00..=0xdfff)) {
                    at = start + 12;
                    continue;
                }
            }
            Some(0xdc00..=0xdfff) => {}
            Some(_) | None => continue,
        }
        at = start + 6;
        if let Some(half) = whole.to_mut().get_mut(start..at) {
            half.copy_from_slice(REPLACEMENT);
        }
    }
    whole
}

/// Position of the next backslash that is not part of an escape before `at`.
fn next_escape(json: &[u8], at: usize) -> Option<usize> {
    let found = json.get(at..)?.iter().position(|byte| *byte == b'\\')?;
    at.checked_add(found)
}

/// The UTF-16 unit of the escape `\uXXXX` at this position.
fn escaped_unit(json: &[u8], start: usize) -> Option<u16> {
    let digits = json
        .get(start..start.checked_add(6)?)?
        .strip_prefix(b"\\u")?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
    u16::from_str_radix(digits, 16).ok()
}

/// The whole body, from its map.
struct Root<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for Root<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(Exact(MapAccessDeserializer::new(map)))
    }
}

/// Wrapper for deserializers, visitors and seeds: forwards every call and wraps every nested value.
struct Exact<T>(T);

macro_rules! pass_on {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(Exact(visitor))
        }
    )* };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Exact<D> {
    type Error = D::Error;

    pass_on! {
        deserialize_any deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_option deserialize_unit
        deserialize_seq deserialize_map deserialize_identifier deserialize_ignored_any
    }

    /// Accepts an object, never an array.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Exact(visitor))
    }

    /// Accepts the variant's name only: no request has an enum variant with data.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_str(Name(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Exact(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, Exact(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, Exact(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Exact(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! visit_plain {
    ($($method:ident($kind:ty))*) => { $(
        fn $method<E: Error>(self, value: $kind) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )* };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Exact<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit_plain! {
        visit_bool(bool) visit_i64(i64) visit_i128(i128) visit_u64(u64) visit_u128(u128)
        visit_f64(f64) visit_char(char) visit_str(&str) visit_borrowed_str(&'de str)
        visit_string(String) visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8])
        visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Exact(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Exact(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Exact(seq))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Exact(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, name: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(name)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Exact<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, A::Error> {
        self.0.next_element_seed(Exact(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Exact<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(Exact(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Exact<T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<T::Value, D::Error> {
        self.0.deserialize(Exact(inner))
    }
}

/// Reads an enum from a string.
struct Name<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Name<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<V::Value, E> {
        let name: StrDeserializer<'_, E> = name.into_deserializer();
        self.0.visit_enum(name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    enum Kind {
        Plain,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Part {
        size: u32,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Common {
        price: Option<f64>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Form {
        text: String,
        kind: Option<Kind>,
        #[serde(default)]
        parts: Vec<Part>,
        part: Option<Part>,
        #[serde(default)]
        by_name: BTreeMap<String, Part>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Change {
        id: u32,
        #[serde(flatten)]
        common: Common,
    }

    fn form(json: impl AsRef<[u8]>) -> Option<Form> {
        from_object(json.as_ref()).ok()
    }

    fn check_text(json: &str, expected: &str) {
        let read = form(json).unwrap_or_else(|| panic!("refused: {json}"));
        assert_eq!(read.text, expected, "{json}");
    }

    #[test]
    fn an_object_is_taken_with_all_that_is_in_it() {
        let read = form(
            r#" {"text":"x","kind":"Plain","parts":[{"size":1,"more":[{}]}],"part":{"size":2},
                 "by_name":{"a":{"size":3}},"more":{"parts":[[1]]},"more":null} "#,
        );
        let part = |size| Part { size };
        assert_eq!(
            read,
            Some(Form {
                text: "x".to_owned(),
                kind: Some(Kind::Plain),
                parts: vec![part(1)],
                part: Some(part(2)),
                by_name: [("a".to_owned(), part(3))].into(),
            })
        );
        check_text(r#"{"text":"x","kind":null,"part":null}"#, "x");
        let change: Change = from_object(br#"{"id":1,"price":2,"more":[]}"#).unwrap();
        let common = Common { price: Some(2.0) };
        assert_eq!(change, Change { id: 1, common });
    }

    #[test]
    fn every_other_shape_is_refused() {
        for json in [
            "",
            "null",
            "1",
            "true",
            r#""text""#,
            "[]",
            r#"["x"]"#,
            r#"["x",null,[],null,{}]"#,
            r#"[{"text":"x"}]"#,
            "{}",
            r#"{"text":null}"#,
            r#"{"text":1}"#,
            r#"{"text":true}"#,
            r#"{"text":["x"]}"#,
            r#"{"text":{"text":"x"}}"#,
            r#"{"text":"x","text":"x"}"#,
            r#"{"text":"x","te\u0078t":"x"}"#,
            r#"{"text":"x"}x"#,
            r#"{"text":"x"}{"text":"x"}"#,
            "{\"text\":\"x\"}\0",
            "\u{feff}{\"text\":\"x\"}",
            r#"{"text":"x",}"#,
            r#"{"text":"x","more":NaN}"#,
            r#"{'text':'x'}"#,
            r#"{"text":"x","more":"\x"}"#,
            "{\"text\":\"a\nb\"}",
            r#"{"text":"x","kind":{"Plain":null}}"#,
            r#"{"text":"x","kind":0}"#,
            r#"{"text":"x","kind":["Plain"]}"#,
            r#"{"text":"x","part":[1]}"#,
            r#"{"text":"x","parts":[[1]]}"#,
            r#"{"text":"x","parts":{"size":1}}"#,
            r#"{"text":"x","parts":[{"size":"1"}]}"#,
            r#"{"text":"x","parts":[{"size":1.5}]}"#,
            r#"{"text":"x","parts":[{"size":1,"size":1}]}"#,
            r#"{"text":"x","by_name":{"a":[1]}}"#,
        ] {
            assert_eq!(form(json), None, "{json}");
        }
        assert_eq!(form(b"{\"text\":\"\xff\"}"), None);
        assert_eq!(form(b"{\"text\":\"x\",\"more\":\"\xff\"}"), None);
        assert_eq!(
            form([r#"{"text":"x","more":"#, &"[".repeat(200)].concat()),
            None
        );
        for json in [
            "[1,2]",
            r#"[1,{"price":2}]"#,
            r#"{"id":1,"price":1,"price":2}"#,
        ] {
            assert!(from_object::<Change>(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn half_of_a_surrogate_pair_is_replaced() {
        check_text(r#"{"text":"a\ud83d"}"#, "a\u{fffd}");
        check_text(r#"{"text":"\uDE00b"}"#, "\u{fffd}b");
        check_text(r#"{"text":"\ud83d\ude00"}"#, "\u{1f600}");
        check_text(r#"{"text":"\ud83d\ud83d\ude00"}"#, "\u{fffd}\u{1f600}");
        check_text(r#"{"text":"\ude00\ud83d"}"#, "\u{fffd}\u{fffd}");
        check_text(r#"{"text":"\\ud83d"}"#, "\\ud83d");
        check_text(r#"{"text":"\\\ud83d\n"}"#, "\\\u{fffd}\n");
        check_text(r#"{"text":"\ud83d\n"}"#, "\u{fffd}\n");
        check_text(r#"{"text":"x","more\ud83d":"\udc00"}"#, "x");
        for json in [
            r#"{"text":"\ud83"}"#,
            r#"{"text":"\u+d83"}"#,
            r"\",
            r"\ud83d",
        ] {
            assert_eq!(form(json), None, "{json}");
        }
    }
}
