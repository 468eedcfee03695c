//! What programs and people are told of each failure.

use http::StatusCode;
use shared::web::{CommonError, Row};

use super::ApiError;

impl ApiError {
    /// Status, number and texts.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table, a row each failure")]
    pub const fn row(self) -> Row {
        use StatusCode as S;
        let (status, code, ko, en) = match self {
            Self::Web(refusal) => return refusal.row(),
            Self::MemberUnknown => (
                S::BAD_REQUEST,
                2005,
                "존재하지 않는 회원입니다.",
                "There is no such member.",
            ),
            Self::MemberBlocked => return CommonError::MemberBlocked.row(),
            Self::SortOption => (
                S::BAD_REQUEST,
                3000,
                "지원하지 않는 정렬 방식입니다.",
                "There is no such order.",
            ),
            Self::ItemType => (
                S::BAD_REQUEST,
                3001,
                "지원하지 않는 상품 종류입니다.",
                "There is no such kind of item.",
            ),
            Self::ProductUnknown => (
                S::BAD_REQUEST,
                3002,
                "존재하지 않는 상품입니다.",
                "There is no such product.",
            ),
            Self::ProductNotValid => (
                S::BAD_REQUEST,
                3003,
                "더 이상 볼 수 없는 상품입니다.",
                "This product is no longer available.",
            ),
            Self::NotMyProduct => (
                S::BAD_REQUEST,
                3004,
                "내가 등록한 상품이 아닙니다.",
                "This product is not yours.",
            ),
            Self::SellLimit => (
                S::BAD_REQUEST,
                3005,
                "이번 달에 판매할 수 있는 데이터 양을 넘었습니다.",
                "This is more data than you may sell this month.",
            ),
            Self::TransferAmount => (
                S::BAD_REQUEST,
                3006,
                "데이터 양이 올바르지 않습니다.",
                "This is not an amount of data that can be sold.",
            ),
            Self::StartAfterEnd => (
                S::BAD_REQUEST,
                3007,
                "시작 시각은 종료 시각보다 빨라야 합니다.",
                "The start must be before the end.",
            ),
            Self::AlreadyDeleted => (
                S::BAD_REQUEST,
                3008,
                "이미 삭제된 상품입니다.",
                "This product has already been deleted.",
            ),
            Self::MobileDataUnknown => (
                S::BAD_REQUEST,
                3009,
                "존재하지 않는 데이터 상품입니다.",
                "There is no such mobile data.",
            ),
            Self::WifiUnknown => (
                S::BAD_REQUEST,
                3010,
                "존재하지 않는 와이파이 상품입니다.",
                "There is no such Wi-Fi.",
            ),
            Self::PlanUnknown => (
                S::BAD_REQUEST,
                3011,
                "요금제 정보가 없습니다.",
                "You have no plan.",
            ),
            Self::ImageFormat => (
                S::BAD_REQUEST,
                3013,
                "사용할 수 없는 이미지입니다. jpg, jpeg, png만 올릴 수 있습니다.",
                "This picture cannot be used: jpg, jpeg and png can.",
            ),
            Self::PlanShort => (
                S::BAD_REQUEST,
                3014,
                "요금제에 남은 데이터가 부족합니다.",
                "Your plan does not have that much data left.",
            ),
            Self::SplitPartlySold => (
                S::BAD_REQUEST,
                3015,
                "일부가 판매된 분할 상품은 수정할 수 없습니다.",
                "A split offer that has been partly sold cannot be changed.",
            ),
            Self::TradeUnknown => (
                S::BAD_REQUEST,
                4000,
                "존재하지 않는 거래입니다.",
                "There is no such trade.",
            ),
            Self::NotMyTrade => (
                S::BAD_REQUEST,
                4001,
                "내 거래가 아닙니다.",
                "This trade is not yours.",
            ),
            Self::OwnProduct => (
                S::BAD_REQUEST,
                4002,
                "내가 등록한 상품은 구매할 수 없습니다.",
                "You cannot buy your own product.",
            ),
            Self::SoldOut => (
                S::BAD_REQUEST,
                4003,
                "이미 판매된 상품입니다.",
                "This product has been sold.",
            ),
            Self::CashShort => (
                S::BAD_REQUEST,
                4004,
                "캐시가 부족합니다.",
                "You do not have enough cash.",
            ),
            Self::RemainingAmount => (
                S::BAD_REQUEST,
                4005,
                "구매하려는 양이 남은 양과 맞지 않습니다.",
                "The amount does not fit what is left.",
            ),
            Self::OutsideHours => (
                S::BAD_REQUEST,
                4006,
                "이용 가능한 시간이 아닙니다.",
                "This is outside the opening hours.",
            ),
            Self::PurchaseLimit => (
                S::BAD_REQUEST,
                4007,
                "이번 달에 구매할 수 있는 데이터 양을 넘었습니다.",
                "This is more data than you may buy this month.",
            ),
            Self::PriceChanged => (
                S::CONFLICT,
                4008,
                "가격이 변경되었습니다. 다시 확인해 주세요.",
                "The price has changed. Please look again.",
            ),
            Self::SlotTaken => (
                S::CONFLICT,
                4009,
                "선택한 시간에는 자리가 없습니다.",
                "There is no room at that time.",
            ),
            Self::ApprovalFailed => (
                S::BAD_REQUEST,
                5001,
                "결제가 승인되지 않았습니다.",
                "The payment was not approved.",
            ),
            Self::AmountInvalid => (
                S::BAD_REQUEST,
                5002,
                "결제 금액이 올바르지 않습니다.",
                "This is not an amount that can be charged.",
            ),
            Self::AmountMismatch => (
                S::BAD_REQUEST,
                5003,
                "주문 금액이 일치하지 않습니다.",
                "The amount is not that of the order.",
            ),
            Self::RequestIdInvalid => (
                S::BAD_REQUEST,
                5004,
                "요청 번호가 올바르지 않습니다.",
                "The request id is not valid.",
            ),
            Self::RequestRepeated => (
                S::BAD_REQUEST,
                5005,
                "이미 처리된 요청입니다.",
                "This request was made before.",
            ),
            Self::Busy => (
                S::SERVICE_UNAVAILABLE,
                5006,
                "요청이 몰리고 있습니다. 잠시 후 다시 시도해 주세요.",
                "Too much is going on. Please try again in a moment.",
            ),
            Self::CashAmount => (
                S::BAD_REQUEST,
                5007,
                "환급 금액이 올바르지 않습니다.",
                "This is not an amount that can be paid out.",
            ),
            Self::BeingVerified => (
                S::ACCEPTED,
                5008,
                "결제를 확인하고 있습니다. 다시 결제하지 마세요.",
                "The payment is being verified. Do not pay again.",
            ),
            Self::KeyReused => (
                S::UNPROCESSABLE_ENTITY,
                5009,
                "같은 멱등 키로 다른 요청이 처리되었습니다.",
                "The idempotency key was used for another request.",
            ),
            Self::KeyRunning => (
                S::CONFLICT,
                5010,
                "같은 요청이 처리되고 있습니다.",
                "The same request is still being processed.",
            ),
            Self::SelfReview => (
                S::BAD_REQUEST,
                6000,
                "자신의 거래에는 리뷰를 쓸 수 없습니다.",
                "You cannot review yourself.",
            ),
            Self::NotMyReview => (
                S::BAD_REQUEST,
                6001,
                "내가 쓴 리뷰가 아닙니다.",
                "This review is not yours.",
            ),
            Self::ReviewUnknown => (
                S::BAD_REQUEST,
                6002,
                "존재하지 않는 리뷰입니다.",
                "There is no such review.",
            ),
            Self::ReportRepeated => (
                S::CONFLICT,
                7001,
                "이미 신고했습니다.",
                "You have reported this before.",
            ),
            Self::SelfReport => (
                S::BAD_REQUEST,
                7002,
                "자신을 신고할 수 없습니다.",
                "You cannot report yourself.",
            ),
            Self::ChatOwnProduct => (
                S::BAD_REQUEST,
                8000,
                "내가 등록한 상품에는 채팅을 시작할 수 없습니다.",
                "You cannot start a chat about your own product.",
            ),
            Self::ChatUnavailable => (
                S::SERVICE_UNAVAILABLE,
                1010,
                "지금은 채팅을 시작할 수 없습니다. 잠시 후 다시 시도해 주세요.",
                "The chat cannot be opened right now. Please try again in a moment.",
            ),
        };
        Row {
            status,
            code,
            ko,
            en,
        }
    }
}
