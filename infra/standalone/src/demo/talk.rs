//! Demo conversations, so that the rooms of a first start are not empty. They refer to the offers
//! of their rooms: a test compares amounts, prices and titles in the texts with the offers.

use std::time::Duration;

use chat_server::append::AppendError;
use chat_server::connection::Services;
use chat_server::log::{Draft, Kind, Topic, Uid};
use chat_server::rooms::{MarkError, PageError, RoomError};
use shared::clock::UnixMillis;
use shared::ids::{MemberId, MessageId, RoomId};

use super::member;

/// A sender, how many minutes before the first start, and the text.
pub(crate) type Line = (u64, u64, &'static str);

/// The buyer (1) and the seller (2) of 0.5 GB that are sold in parts.
pub(crate) const MOBILE_DATA: &[Line] = &[
    (1, 14, "안녕하세요, 데이터 0.5GB 올리신 거 아직 있나요?"),
    (2, 13, "네, 아직 그대로 있어요!"),
    (1, 11, "0.3GB만 나눠서 사도 괜찮을까요?"),
    (2, 9, "그럼요. 100MB에 165원이라 0.3GB면 495원이에요."),
    (2, 9, "이번 달 말일까지만 쓸 수 있는 점만 확인해 주세요 🙂"),
];

/// The buyer (3) and the seller (1) of the first Wi-Fi spot.
pub(crate) const WIFI: &[Line] = &[
    (
        3,
        32,
        "안녕하세요! 판다커피 연남점 와이파이, 오늘 저녁에도 쓸 수 있나요?",
    ),
    (1, 30, "네, 밤 10시까지 열어 두고 있어요."),
    (
        3,
        27,
        "노트북으로 화상회의를 한 시간쯤 하려고 하는데 끊기지 않을까요?",
    ),
    (
        1,
        26,
        "창가 자리가 제일 잘 터져요. 10분에 300원이니 한 시간이면 1,800원이에요.",
    ),
    (3, 21, "좋아요, 7시쯤 들를게요. 감사합니다!"),
];

/// The group of all.
pub(crate) const GROUP: &[Line] = &[
    (
        5,
        58,
        "이번 달 데이터 남으신 분 계세요? 주말에 쓸 1GB 정도 찾고 있어요.",
    ),
    (7, 55, "저 조금 올려 뒀어요. 나눠 살 수 있는 상품이에요."),
    (
        4,
        51,
        "작은 상품 여러 개를 같이 사는 게 더 쌀 때도 있더라고요.",
    ),
    (8, 47, "말일이 지나면 사라지니까 저도 싸게 올려 둘게요!"),
    (5, 44, "감사해요, 마켓에서 찾아볼게요 🙏"),
];

/// The conversation of a demo room could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TalkError {
    /// The room's messages could not be read.
    #[error("the messages of a demo room cannot be read")]
    Read(#[from] PageError),
    /// The messages cannot be stored.
    #[error("the messages of a demo room cannot be stored")]
    Append(#[from] AppendError),
    /// The read marks cannot be stored.
    #[error("the read marks of a demo room cannot be stored")]
    Mark(#[from] MarkError),
}

/// Writes the conversation into a room without messages. It is stored as a whole or not at all, so
/// an interrupted start leaves an empty room, which the next start fills.
///
/// # Errors
/// See [`TalkError`].
pub(super) async fn fill(
    services: &Services,
    room: RoomId,
    members: &[MemberId],
    lines: &'static [Line],
) -> Result<(), TalkError> {
    let rooms = &services.rooms;
    match rooms.history(room, members[0], None, 1).await {
        Ok(page) if page.entries.is_empty() => {}
        // The room has messages, or the demo's members have left it.
        Ok(_) | Err(PageError::Room(RoomError::NotParticipant(_))) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let now = services.clock.unix_millis();
    let drafts = lines.iter().enumerate();
    let drafts = drafts.map(|(nth, line)| draft(nth, *line, now)).collect();
    let stored = services.appender.send(Topic::Room(room), drafts).await?;
    let ids: Vec<_> = stored
        .into_iter()
        .filter_map(|placed| MessageId::in_room(room, placed.seq))
        .collect();
    mark_read(services, members, lines, &ids).await
}

/// The last message is unread for all but its sender; all earlier ones are read.
async fn mark_read(
    services: &Services,
    members: &[MemberId],
    lines: &[Line],
    ids: &[MessageId],
) -> Result<(), TalkError> {
    let ([.., before, last], Some(&(sender, ..))) = (ids, lines.last()) else {
        return Ok(());
    };
    for &one in members {
        let up_to = if one == member(sender) { last } else { before };
        services.rooms.mark_read(one, *up_to).await?;
    }
    Ok(())
}

fn draft(nth: usize, (sender, minutes_ago, text): Line, now: UnixMillis) -> Draft {
    let ago = Duration::from_secs(minutes_ago * 60);
    let ago_ms = i64::try_from(ago.as_millis()).unwrap_or(0);
    Draft {
        uid: Uid(rand::random()),
        kind: Kind::Chat,
        sender: Some(member(sender)),
        client_message_id: Some(format!("demo-{nth}").into()),
        headers: Vec::new(),
        content_type: None,
        body: text.into(),
        sent_at: UnixMillis::try_from(i64::from(now) - ago_ms).unwrap_or(now),
    }
}
