//! The site's error codes: one table for both servers, REST and STOMP.
//!
//! Programs compare the number, people read the text, HTTP needs a status: each is here once, so
//! that two servers, or two protocols, cannot disagree. `infra/docs/wire.md` lists the same rows,
//! and a test compares them. The old numbers are those of the first front end.
//!
//! What this module does not do: choose a code. Each domain has errors of its own; its HTTP module
//! maps them ([`super::ApiError`]), and the chat server's connection maps them for STOMP.

use http::StatusCode;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+
        $name:ident = $number:literal, $status:ident, $korean:literal, $english:literal;)+) => {
        /// A code of the site: a number for programs, a text for people, a default HTTP status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl ErrorCode {
            /// Every code, by number.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The HTTP status, unless a route gives another.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// The Korean text.
            #[must_use]
            pub const fn korean(self) -> &'static str {
                match self { $(Self::$name => $korean,)+ }
            }

            /// The English text.
            #[must_use]
            pub const fn english(self) -> &'static str {
                match self { $(Self::$name => $english,)+ }
            }
        }
    };
}

codes! {
    /// A defect of the server; the log has the request id.
    Internal = 1000, INTERNAL_SERVER_ERROR,
        "서버에서 오류가 발생했습니다.", "Internal server error.";
    /// Another member's, a request of a foreign page, or administrators only.
    Forbidden = 1003, FORBIDDEN,
        "이 작업을 할 권한이 없습니다.", "Not allowed.";
    /// No such route.
    RouteUnknown = 1004, NOT_FOUND,
        "요청한 주소를 찾을 수 없습니다.", "No such route.";
    /// Invalid parameter, header or body.
    InvalidParameter = 1006, BAD_REQUEST,
        "요청 값이 올바르지 않습니다.", "Invalid parameter.";
    /// Method not allowed on this route.
    MethodNotAllowed = 1007, METHOD_NOT_ALLOWED,
        "이 주소에서 지원하지 않는 메서드입니다.", "Method not allowed.";
    /// The body is too large.
    BodyTooLarge = 1008, PAYLOAD_TOO_LARGE,
        "요청 본문이 너무 큽니다.", "Request body too large.";
    /// A rate or a number is limited.
    TooManyRequests = 1009, TOO_MANY_REQUESTS,
        "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요.",
        "Too many requests. Try again in a moment.";
    /// A server or what it depends on is unavailable, draining or full; retry.
    Unavailable = 1010, SERVICE_UNAVAILABLE,
        "지금은 처리할 수 없습니다. 잠시 후 다시 시도해 주세요.",
        "Temporarily unavailable. Try again in a moment.";
    /// Head or body of the request did not come in time.
    RequestTimeout = 1011, REQUEST_TIMEOUT,
        "요청이 제때 도착하지 않았습니다. 다시 시도해 주세요.",
        "The request took too long to arrive. Try again.";
    /// The body has an encoding or a type that the server does not read.
    UnsupportedBody = 1012, UNSUPPORTED_MEDIA_TYPE,
        "지원하지 않는 형식의 요청 본문입니다.", "Unsupported type or encoding of the body.";
    /// The host is not a name of this server.
    HostUnknown = 1013, MISDIRECTED_REQUEST,
        "이 서버의 주소가 아닙니다.", "Unknown host.";
    /// Unsupported WebSocket version; 13 is the only one.
    WebSocketVersion = 1014, UPGRADE_REQUIRED,
        "WebSocket 버전 13으로 연결해 주세요.", "Unsupported WebSocket version: use 13.";
    /// The head of the request, or its URI, is too long.
    HeadTooLarge = 1015, REQUEST_HEADER_FIELDS_TOO_LARGE,
        "요청 헤더가 너무 큽니다.", "Request headers or URI too large.";
    /// Unsupported method, transfer coding or expectation.
    NotImplemented = 1016, NOT_IMPLEMENTED,
        "지원하지 않는 요청 방식입니다.", "Not supported by this server.";
    /// No such member.
    MemberUnknown = 2005, BAD_REQUEST,
        "존재하지 않는 회원입니다.", "No such member.";
    /// No login attempt of this browser is open; sent in a redirect.
    LoginUnknown = 2006, FOUND,
        "진행 중인 로그인이 없습니다. 다시 로그인해 주세요.",
        "No login is in progress. Log in again.";
    /// The token is invalid, expired or revoked.
    TokenInvalid = 2007, UNAUTHORIZED,
        "로그인 정보가 유효하지 않습니다. 다시 로그인해 주세요.",
        "Invalid or expired login. Log in again.";
    /// The login provider or the person declined; sent in a redirect.
    LoginRefused = 2009, FOUND,
        "로그인이 취소되었거나 거부되었습니다.", "The login was cancelled or refused.";
    /// The member is blocked.
    MemberBlocked = 2012, FORBIDDEN,
        "이용이 제한된 계정입니다.", "This account is blocked.";
    /// No token was sent.
    TokenMissing = 2014, UNAUTHORIZED,
        "로그인이 필요합니다.", "Login required.";
    /// The account cannot be closed yet; `data` has the reasons.
    AccountInUse = 2015, CONFLICT,
        "아직 탈퇴할 수 없습니다. 남은 캐시와 진행 중인 거래를 확인해 주세요.",
        "The account cannot be closed yet: settle its cash and open transactions.";
    /// Unknown sort option of a list.
    SortOptionUnknown = 3000, BAD_REQUEST,
        "지원하지 않는 정렬 방식입니다.", "Unknown sort option.";
    /// Unknown type of product.
    ProductTypeUnknown = 3001, BAD_REQUEST,
        "지원하지 않는 상품 종류입니다.", "Unknown product type.";
    /// No such product.
    ProductUnknown = 3002, BAD_REQUEST,
        "존재하지 않는 상품입니다.", "No such product.";
    /// Hidden, deleted or expired, or its seller is blocked.
    ProductUnavailable = 3003, BAD_REQUEST,
        "더 이상 볼 수 없는 상품입니다.", "This product is no longer available.";
    /// Another member's product.
    NotMyProduct = 3004, BAD_REQUEST,
        "내가 등록한 상품이 아닙니다.", "This product belongs to another member.";
    /// Listed and sold this month would exceed the limit.
    SellLimit = 3005, BAD_REQUEST,
        "이번 달에 판매할 수 있는 데이터 양을 넘었습니다.",
        "More data than you may sell this month.";
    /// Not a whole number of 0.1 GB, or none.
    DataAmount = 3006, BAD_REQUEST,
        "데이터 양이 올바르지 않습니다.", "Invalid amount of data.";
    /// The start is after the end.
    StartAfterEnd = 3007, BAD_REQUEST,
        "시작 시각은 종료 시각보다 빨라야 합니다.", "The start must not be after the end.";
    /// The product was deleted before.
    AlreadyDeleted = 3008, BAD_REQUEST,
        "이미 삭제된 상품입니다.", "This product is already deleted.";
    /// The product is not mobile data.
    MobileDataUnknown = 3009, BAD_REQUEST,
        "존재하지 않는 데이터 상품입니다.", "This product is not mobile data.";
    /// The product is not Wi-Fi, or not a hotspot.
    WifiUnknown = 3010, BAD_REQUEST,
        "존재하지 않는 와이파이 상품입니다.", "No such Wi-Fi or hotspot.";
    /// The member has no mobile plan.
    PlanUnknown = 3011, BAD_REQUEST,
        "요금제 정보가 없습니다.", "You have no mobile plan.";
    /// Not an uploaded jpg or png of this member.
    ImageFormat = 3013, BAD_REQUEST,
        "사용할 수 없는 이미지입니다. jpg, jpeg, png만 올릴 수 있습니다.",
        "Unusable picture: upload a jpg, jpeg or png.";
    /// The plan has less data left.
    PlanShort = 3014, BAD_REQUEST,
        "요금제에 남은 데이터가 부족합니다.", "Not enough data left in your plan.";
    /// A part of the split offer is sold.
    SplitPartlySold = 3015, BAD_REQUEST,
        "일부가 판매된 분할 상품은 수정할 수 없습니다.",
        "A split offer cannot change after a part is sold.";
    /// No such trade.
    TradeUnknown = 4000, BAD_REQUEST,
        "존재하지 않는 거래입니다.", "No such trade.";
    /// Another member's trade.
    NotMyTrade = 4001, BAD_REQUEST,
        "내 거래가 아닙니다.", "This trade belongs to another member.";
    /// The member's own product.
    OwnProduct = 4002, BAD_REQUEST,
        "내가 등록한 상품은 구매할 수 없습니다.", "You cannot buy your own product.";
    /// Nothing is left.
    SoldOut = 4003, BAD_REQUEST,
        "이미 판매된 상품입니다.", "Sold out.";
    /// The wallet has less cash.
    CashShort = 4004, BAD_REQUEST,
        "캐시가 부족합니다.", "Not enough cash.";
    /// More than is left, or a part of a whole offer.
    RemainingAmount = 4005, BAD_REQUEST,
        "구매하려는 양이 남은 양과 맞지 않습니다.", "The amount does not match what is left.";
    /// Outside the opening hours of the spot.
    OutsideHours = 4006, BAD_REQUEST,
        "이용 가능한 시간이 아닙니다.", "Outside the opening hours.";
    /// Bought this month would exceed the limit.
    PurchaseLimit = 4007, BAD_REQUEST,
        "이번 달에 구매할 수 있는 데이터 양을 넘었습니다.",
        "More data than you may buy this month.";
    /// The price differs from the one shown; `data` has a new quote.
    PriceChanged = 4008, CONFLICT,
        "가격이 변경되었습니다. 다시 확인해 주세요.", "The price has changed. Check it again.";
    /// The capacity of the spot is booked.
    SlotTaken = 4009, CONFLICT,
        "선택한 시간에는 자리가 없습니다.", "Fully booked at that time.";
    /// The payment gateway declined.
    PaymentDeclined = 5001, BAD_REQUEST,
        "결제가 승인되지 않았습니다.", "Payment declined.";
    /// The amount of a charge is out of bounds.
    ChargeAmount = 5002, BAD_REQUEST,
        "결제 금액이 올바르지 않습니다.", "Invalid payment amount.";
    /// Unknown payment, another member's, or another amount.
    AmountMismatch = 5003, BAD_REQUEST,
        "주문 금액이 일치하지 않습니다.", "The payment amount does not match.";
    /// `requestId` is not 1 to 64 characters.
    RequestIdInvalid = 5004, BAD_REQUEST,
        "요청 번호가 올바르지 않습니다.", "Invalid request id.";
    /// `requestId` was used with another amount.
    RequestRepeated = 5005, BAD_REQUEST,
        "이미 처리된 요청입니다.", "This request id was used before.";
    /// A lock or a queue timed out; nothing was done.
    Busy = 5006, SERVICE_UNAVAILABLE,
        "요청이 몰리고 있습니다. 잠시 후 다시 시도해 주세요.",
        "The server is busy. Try again in a moment.";
    /// The amount of a refund is out of bounds.
    RefundAmount = 5007, BAD_REQUEST,
        "환급 금액이 올바르지 않습니다.", "Invalid refund amount.";
    /// The outcome of a payment is unknown yet.
    BeingVerified = 5008, ACCEPTED,
        "결제를 확인하고 있습니다. 다시 결제하지 마세요.",
        "The payment is being verified. Do not pay again.";
    /// The idempotency key was used with another body.
    KeyReused = 5009, UNPROCESSABLE_ENTITY,
        "같은 멱등 키로 다른 요청이 처리되었습니다.",
        "The idempotency key was used for another request.";
    /// The request with this idempotency key still runs.
    KeyRunning = 5010, CONFLICT,
        "같은 요청이 처리되고 있습니다.", "The same request is still being processed.";
    /// The member's own trade.
    SelfReview = 6000, BAD_REQUEST,
        "자신의 거래에는 리뷰를 쓸 수 없습니다.", "You cannot review yourself.";
    /// Another member's review.
    NotMyReview = 6001, BAD_REQUEST,
        "내가 쓴 리뷰가 아닙니다.", "This review belongs to another member.";
    /// No such review.
    ReviewUnknown = 6002, BAD_REQUEST,
        "존재하지 않는 리뷰입니다.", "No such review.";
    /// The trade has a review of this member.
    ReviewRepeated = 6003, CONFLICT,
        "이미 리뷰를 쓴 거래입니다.", "You have already reviewed this trade.";
    /// A charge, a refund, or a purchase from several sellers.
    NotReviewable = 6004, BAD_REQUEST,
        "리뷰를 쓸 수 없는 거래입니다.", "This trade cannot be reviewed.";
    /// The same report was made before.
    ReportRepeated = 7001, CONFLICT,
        "이미 신고했습니다.", "You have already reported this.";
    /// The member's own profile, product, review or chat.
    SelfReport = 7002, BAD_REQUEST,
        "자신을 신고할 수 없습니다.", "You cannot report yourself.";
    /// No such report.
    ReportUnknown = 7003, BAD_REQUEST,
        "존재하지 않는 신고입니다.", "No such report.";
    /// The report was decided before.
    ReportClosed = 7004, CONFLICT,
        "이미 처리된 신고입니다.", "This report is already decided.";
    /// A chat about the member's own product.
    ChatOwnProduct = 8000, BAD_REQUEST,
        "내가 등록한 상품에는 채팅을 시작할 수 없습니다.",
        "You cannot open a chat about your own product.";
    /// No such chat room.
    RoomUnknown = 8001, BAD_REQUEST,
        "채팅방이 존재하지 않습니다.", "No such chat room.";
    /// Not a member of the room.
    NotParticipant = 8002, BAD_REQUEST,
        "참여하고 있지 않은 채팅방입니다.", "You are not a member of this chat room.";
    /// No such message.
    MessageUnknown = 8004, BAD_REQUEST,
        "메시지가 존재하지 않습니다.", "No such message.";
    /// The message is empty, blank or too long.
    MessageLength = 8005, BAD_REQUEST,
        "메시지가 비어 있거나 너무 깁니다.", "The message is empty or too long.";
    /// The room has taken its last message.
    RoomFull = 8006, CONFLICT,
        "채팅방이 가득 찼습니다.", "The chat room is full.";
    /// The message store, or the keys of a login, are unavailable; retry.
    ChatUnavailable = 8007, SERVICE_UNAVAILABLE,
        "채팅을 잠시 이용할 수 없습니다. 다시 시도해 주세요.",
        "The chat is temporarily unavailable. Try again.";
    /// The rate of sends is limited; retry.
    SendRate = 8008, TOO_MANY_REQUESTS,
        "메시지를 너무 빨리 보내고 있습니다. 잠시 후 다시 시도해 주세요.",
        "Too many messages. Try again in a moment.";
    /// `client-message-id` was used with another body.
    ClientMessageIdTaken = 8009, CONFLICT,
        "이미 다른 메시지에 쓰인 메시지 번호입니다.",
        "The client message id was used for another message.";
    /// The id of the room is used for another conversation.
    RoomTaken = 8010, CONFLICT,
        "이미 다른 대화에 쓰이는 채팅방 번호입니다.",
        "The chat room id is used for another conversation.";
    /// One of the two members of the room has blocked the other.
    Separated = 8011, FORBIDDEN,
        "대화할 수 없는 상대입니다.", "One of you has blocked the other.";
    /// No such notification.
    NotificationUnknown = 9001, BAD_REQUEST,
        "존재하지 않는 알림입니다.", "No such notification.";
}

impl ErrorCode {
    /// Codes that any route of either server may answer with.
    pub const COMMON: [Self; 17] = [
        Self::Internal,
        Self::Forbidden,
        Self::RouteUnknown,
        Self::InvalidParameter,
        Self::MethodNotAllowed,
        Self::BodyTooLarge,
        Self::TooManyRequests,
        Self::Unavailable,
        Self::RequestTimeout,
        Self::UnsupportedBody,
        Self::HostUnknown,
        Self::WebSocketVersion,
        Self::HeadTooLarge,
        Self::NotImplemented,
        Self::TokenInvalid,
        Self::MemberBlocked,
        Self::TokenMissing,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The nearest code for a status that a framework or hyper chose.
    #[must_use]
    pub(super) fn of_status(status: StatusCode) -> Self {
        use StatusCode as S;
        match status {
            S::UNAUTHORIZED => Self::TokenMissing,
            S::FORBIDDEN => Self::Forbidden,
            S::NOT_FOUND | S::GONE => Self::RouteUnknown,
            S::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            S::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            S::TOO_MANY_REQUESTS => Self::TooManyRequests,
            S::REQUEST_TIMEOUT => Self::RequestTimeout,
            S::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedBody,
            S::MISDIRECTED_REQUEST => Self::HostUnknown,
            S::UPGRADE_REQUIRED => Self::WebSocketVersion,
            S::REQUEST_HEADER_FIELDS_TOO_LARGE | S::URI_TOO_LONG => Self::HeadTooLarge,
            S::NOT_IMPLEMENTED | S::EXPECTATION_FAILED => Self::NotImplemented,
            S::SERVICE_UNAVAILABLE => Self::Unavailable,
            other if other.is_server_error() => Self::Internal,
            _ => Self::InvalidParameter,
        }
    }
}

/// The codes that any route may answer with, as a Markdown table for the OpenAPI document.
#[must_use]
pub fn common_errors() -> String {
    let lines = ErrorCode::COMMON.map(|code| {
        let (number, status) = (code.number(), code.status().as_u16());
        format!("| {number} | {status} | {} |\n", code.english())
    });
    format!(
        "Errors of any route, besides its own:\n\n\
         | code | status | meaning |\n|---|---|---|\n{}",
        lines.concat()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The contract's table of codes: `| code | status | text | meaning | server |`.
    fn documented() -> Vec<(u16, u16, String)> {
        let contract = include_str!("../../../infra/docs/wire.md");
        let (_, table) = contract.split_once("\n## Codes\n").unwrap();
        let (table, _) = table.split_once("\n### ").unwrap();
        let row = |line: &str| {
            let mut cells = line.split('|').skip(1).map(str::trim);
            let (code, status) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
            Some((code, status, cells.next()?.to_owned()))
        };
        table.lines().filter_map(row).collect()
    }

    #[test]
    fn every_number_and_text_occurs_once() {
        let mut seen = BTreeSet::new();
        let mut texts = BTreeSet::new();
        for code in ErrorCode::ALL {
            assert!(
                seen.last().is_none_or(|last| *last < code.number()),
                "{code:?}"
            );
            seen.insert(code.number());
            let (korean, english) = (code.korean(), code.english());
            let is_korean = korean.chars().any(|c| ('가'..='힣').contains(&c));
            assert!(is_korean && korean.ends_with('.'), "{korean}");
            assert!(english.ends_with('.') && english.is_ascii(), "{english}");
            assert!(texts.insert(korean) && texts.insert(english), "{code:?}");
        }
        assert_eq!(seen.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn contract_lists_every_code_with_its_status_and_text() {
        let row = |code: &ErrorCode| {
            let (number, status) = (code.number(), code.status().as_u16());
            (number, status, code.english().to_owned())
        };
        let expected: Vec<_> = ErrorCode::ALL.iter().map(row).collect();
        assert_eq!(documented(), expected);
    }

    #[test]
    fn statuses_of_the_framework_have_a_code() {
        let check = |status: u16, expected: ErrorCode| {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(ErrorCode::of_status(status), expected, "{status}");
        };
        check(410, ErrorCode::RouteUnknown);
        check(414, ErrorCode::HeadTooLarge);
        check(417, ErrorCode::NotImplemented);
        check(418, ErrorCode::InvalidParameter);
        check(502, ErrorCode::Internal);
    }
}
