//! Destinations of frames: the `destination` header, parsed once into valid values.

use shared::ids::{MemberId, RoomId};

/// The destination of a SEND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendTo {
    /// `/pub/{roomId}`: a message for the room.
    Room(RoomId),
    /// `/pub/{roomId}/typing`: the sender is writing.
    Typing(RoomId),
    /// `/app/token`: a fresh access token for this connection.
    Token,
}

impl SendTo {
    /// `None`: no such destination.
    #[must_use]
    pub fn parse(destination: &str) -> Option<Self> {
        if destination == "/app/token" {
            return Some(Self::Token);
        }
        let rest = destination.strip_prefix("/pub/")?;
        match rest.strip_suffix("/typing") {
            Some(room) => room.parse().ok().map(Self::Typing),
            None => rest.parse().ok().map(Self::Room),
        }
    }
}

/// The destination of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeTo {
    /// `/sub/{roomId}`: the room's messages.
    Room(RoomId),
    /// `/sub/{roomId}/events`: typing, read marks, joins, leaves, deletions. Not stored.
    Events(RoomId),
    /// `/sub/alarm/{memberId}`: start and end of bought Wi-Fi time.
    Alarms(MemberId),
    /// `/user/queue/notifications`: one's own notices.
    Notices,
    /// `/user/queue/errors`: errors of one's own sends. Not stored.
    Errors,
    /// `/user/queue/system`: messages of the server to its clients. Not stored.
    System,
}

impl SubscribeTo {
    /// `None`: no such destination.
    #[must_use]
    pub fn parse(destination: &str) -> Option<Self> {
        match destination {
            "/user/queue/notifications" => return Some(Self::Notices),
            "/user/queue/errors" => return Some(Self::Errors),
            "/user/queue/system" => return Some(Self::System),
            _ => {}
        }
        let rest = destination.strip_prefix("/sub/")?;
        if let Some(member) = rest.strip_prefix("alarm/") {
            return member.parse().ok().map(Self::Alarms);
        }
        match rest.strip_suffix("/events") {
            Some(room) => room.parse().ok().map(Self::Events),
            None => rest.parse().ok().map(Self::Room),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(id: i64) -> RoomId {
        id.try_into().unwrap()
    }

    #[test]
    fn known_destinations_are_understood() {
        assert_eq!(SendTo::parse("/pub/7"), Some(SendTo::Room(room(7))));
        assert_eq!(
            SendTo::parse("/pub/7/typing"),
            Some(SendTo::Typing(room(7)))
        );
        assert_eq!(SendTo::parse("/app/token"), Some(SendTo::Token));
        assert_eq!(
            SubscribeTo::parse("/sub/7"),
            Some(SubscribeTo::Room(room(7)))
        );
        assert_eq!(
            SubscribeTo::parse("/sub/7/events"),
            Some(SubscribeTo::Events(room(7)))
        );
        assert_eq!(
            SubscribeTo::parse("/sub/alarm/3"),
            Some(SubscribeTo::Alarms(3_i64.try_into().unwrap()))
        );
        assert_eq!(
            SubscribeTo::parse("/user/queue/notifications"),
            Some(SubscribeTo::Notices)
        );
        assert_eq!(
            SubscribeTo::parse("/user/queue/errors"),
            Some(SubscribeTo::Errors)
        );
        assert_eq!(
            SubscribeTo::parse("/user/queue/system"),
            Some(SubscribeTo::System)
        );
    }

    #[test]
    fn everything_else_is_no_destination() {
        for text in [
            "",
            "/",
            "/pub",
            "/pub/",
            "/pub/0",
            "/pub/-1",
            "/pub/07",
            "/pub/a",
            "/pub/7/",
            "/pub/7/x",
            "/pub/2147483648",
            "/pub/typing",
            "/sub/7 ",
            "/sub/alarm/",
            "/sub/alarm/x",
            "/sub//events",
            "/user/queue/",
            "/app/",
            "sub/7",
            "/sub/*",
            "/sub/7/events/",
            "/topic/7",
        ] {
            assert_eq!(SendTo::parse(text), None, "{text}");
            assert_eq!(SubscribeTo::parse(text), None, "{text}");
        }
    }
}
