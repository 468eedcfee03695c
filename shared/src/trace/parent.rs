//! `traceparent`: a place in a trace, as W3C Trace Context writes it.
//!
//! Parsed here rather than by OpenTelemetry's propagator, which accepts ids of the wrong length
//! (`00-1-1-1`) and reads `tracestate`, too.

use std::fmt;
use std::str::FromStr;

use http::{HeaderMap, HeaderName};
use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};

/// Header of the trace context, in HTTP and in MESSAGE frames.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A place in a trace: which trace, which of its spans, and whether it is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

/// Not a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of W3C Trace Context")]
pub struct InvalidTraceParent;

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let mut fields = text.splitn(5, '-');
        let mut hex = |length| {
            let field = fields.next().ok_or(InvalidTraceParent)?;
            match field.len() == length && field.bytes().all(is_lower_hex) {
                true => Ok(field),
                false => Err(InvalidTraceParent),
            }
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        // A later version may append fields.
        if version == "ff" || (version == "00" && fields.next().is_some()) {
            return Err(InvalidTraceParent);
        }
        let invalid = |_: std::num::ParseIntError| InvalidTraceParent;
        let flags = u8::from_str_radix(flags, 16).map_err(invalid)?;
        Self::of(&SpanContext::new(
            TraceId::from_hex(trace).map_err(invalid)?,
            SpanId::from_hex(span).map_err(invalid)?,
            TraceFlags::new(flags),
            true,
            TraceState::NONE,
        ))
        .ok_or(InvalidTraceParent)
    }
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Version 00.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TraceParent {
    /// That of the request under way, or of the span whose work calls this.
    #[must_use]
    pub fn current() -> Option<Self> {
        Context::map_current(Self::of_context)
    }

    /// That of a request. An invalid one, or two of them, count as none, so that a new trace begins.
    pub(super) fn of_request(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        match (all.next(), all.next()) {
            (Some(one), None) => one.to_str().ok()?.parse().ok(),
            (None, _) | (Some(_), Some(_)) => None,
        }
    }

    pub(super) fn of_context(context: &Context) -> Option<Self> {
        Self::of(context.span().span_context())
    }

    /// Flags other than "sampled" are dropped: this program does not do what they announce.
    pub(super) fn of(context: &SpanContext) -> Option<Self> {
        context.is_valid().then(|| Self {
            trace: context.trace_id(),
            span: context.span_id(),
            flags: context.trace_flags() & TraceFlags::SAMPLED,
        })
    }

    /// Which trace.
    #[must_use]
    pub fn trace(&self) -> TraceId {
        self.trace
    }

    /// Whether spans of this trace are recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags.is_sampled()
    }
}

/// It came from another process.
impl From<TraceParent> for SpanContext {
    fn from(parent: TraceParent) -> Self {
        let TraceParent { trace, span, flags } = parent;
        Self::new(trace, span, flags, true, TraceState::NONE)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    /// What is passed on of this text.
    fn check(text: &str, expected: Option<&str>) {
        let passed_on = text.parse::<TraceParent>().ok();
        let passed_on = passed_on.map(|parent| parent.to_string());
        assert_eq!(passed_on.as_deref(), expected, "{text:?}");
    }

    #[test]
    fn traceparent_is_passed_on() {
        for flags in ["00", "01"] {
            let text = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            check(&text, Some(&text));
        }
    }

    #[test]
    fn flags_of_other_meaning_are_dropped() {
        let sampled = format!("00-{TRACE}-00f067aa0ba902b7-01");
        check(&format!("00-{TRACE}-00f067aa0ba902b7-ff"), Some(&sampled));
        check(&format!("00-{TRACE}-00f067aa0ba902b7-03"), Some(&sampled));
    }

    #[test]
    fn later_version_is_read_as_ours() {
        let ours = format!("00-{TRACE}-00f067aa0ba902b7-01");
        check(&format!("cc-{TRACE}-00f067aa0ba902b7-01"), Some(&ours));
        check(
            &format!("cc-{TRACE}-00f067aa0ba902b7-01-more-of-it"),
            Some(&ours),
        );
    }

    #[test]
    fn malformed_traceparent_counts_as_none() {
        let zeros = "0".repeat(32);
        for text in [
            "",
            "-",
            "---",
            "00-1-1-1",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            &format!("00-{zeros}-00f067aa0ba902b7-01"),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            &format!("0-{TRACE}-00f067aa0ba902b7-01"),
            &format!("00-{TRACE}-00f067aa0ba902b7-1"),
            &format!("00-{TRACE}-00f067aa0ba902b7-01-"),
            &format!("00-{TRACE}-00f067aa0ba902b7-01-00"),
            &format!("cc-{TRACE}-00f067aa0ba902b7-01more"),
            &format!("00-{TRACE}0-0f067aa0ba902b7-01"),
            &format!("00 {TRACE} 00f067aa0ba902b7 01"),
        ] {
            check(text, None);
        }
    }

    #[test]
    fn two_traceparents_count_as_none() {
        let value = HeaderValue::try_from(format!("00-{TRACE}-00f067aa0ba902b7-01")).unwrap();
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, value.clone());
        assert!(TraceParent::of_request(&headers).is_some());
        headers.append(TRACEPARENT, value);
        assert_eq!(TraceParent::of_request(&headers), None);
        headers.insert(TRACEPARENT, HeaderValue::from_bytes(b"00-\xff").unwrap());
        assert_eq!(TraceParent::of_request(&headers), None);
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_one_line_of_55_characters(text in "\\PC{0,80}|00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}") {
            if let Ok(parent) = text.parse::<TraceParent>() {
                let text = parent.to_string();
                prop_assert_eq!(text.len(), 55);
                prop_assert_eq!(text.parse(), Ok(parent));
            }
        }
    }
}
