//! The shapes of answers, as the tables of the contract have them.

use super::shape::Is::{
    Any, Count, Date, DateTime, Flag, Id, Integer, Many, Number, One, OneOf, OrNull, Text, Texts,
    Time,
};
use super::shape::{Field, Is};

/// Pictures that members and offers may be without.
const PICTURE: Is = OrNull(&Text);

pub(crate) const MEMBER: &[Field] = &[
    ("memberId", Id),
    ("name", Text),
    ("profileImageUrl", PICTURE),
    ("joinedAt", Date),
    ("averageRating", Number),
    ("reviewCount", Count),
    ("tradeCount", Count),
];

pub(crate) const CASH: &[Field] = &[("cash", Count)];

pub(crate) const GIGABYTES: &[Field] = &[("data", Number)];

pub(crate) const PLAN: &[Field] = &[
    ("name", Text),
    ("currentDataAmount", Number),
    ("providingDataAmount", Number),
    ("monthlyPrice", Count),
];

pub(crate) const UPLOAD: &[Field] = &[
    ("filename", Text),
    ("url", Text),
    ("publicUrl", Text),
    ("key", Text),
];

const PAGE_INFO: &[Field] = &[
    ("nextCursorId", OrNull(&Id)),
    ("hasNext", Flag),
    ("size", Count),
];

pub(crate) const PAGE: &[Field] = &[
    ("data", Any),
    ("pageInfo", One(PAGE_INFO)),
    // Of selling products.
    ("count?", Count),
    // Of a room's history.
    ("memberId?", Id),
];

pub(crate) const DATA_ROW: &[Field] = &[
    ("productId", Id),
    ("price", Count),
    ("itemId", Id),
    ("memberName", Text),
    ("profileImageUrl", PICTURE),
    ("remainAmount", Number),
    ("pricePer100MB", Count),
    ("splitType", Flag),
    ("updatedAt", DateTime),
];

pub(crate) const WIFI_ROW: &[Field] = &[
    ("productId", Id),
    ("price", Count),
    ("itemId", Id),
    ("memberName", Text),
    ("profileImageUrl", PICTURE),
    ("title", Text),
    ("imageUrl", PICTURE),
    ("latitude", Number),
    ("longitude", Number),
    ("address", Text),
    ("averageRate", Number),
    ("distanceKm", Number),
    ("open", Flag),
    ("startTime", DateTime),
    ("endTime", DateTime),
];

pub(crate) const DATA_VIEW: &[Field] = &[
    ("productId", Id),
    ("itemId", Id),
    ("price", Count),
    ("memberId", Id),
    ("memberName", Text),
    ("profileImageUrl", PICTURE),
    ("remainAmount", Number),
    ("pricePer100MB", Count),
    ("averageRate", Number),
    ("reviewCount", Count),
    ("myProduct", Flag),
    ("splitType", Flag),
    ("updatedAt", DateTime),
    ("productState", Text),
];

pub(crate) const WIFI_VIEW: &[Field] = &[
    ("productId", Id),
    ("itemId", Id),
    ("price", Count),
    ("memberId", Id),
    ("memberName", Text),
    ("profileImageUrl", PICTURE),
    ("title", Text),
    ("content", Text),
    ("latitude", Number),
    ("longitude", Number),
    ("address", Text),
    ("averageRate", Number),
    ("reviewCount", Count),
    ("myProduct", Flag),
    ("imageUrls", Texts),
    ("startTime", DateTime),
    ("endTime", DateTime),
    ("open", Flag),
    ("updatedAt", DateTime),
];

pub(crate) const CHANGED: &[Field] = &[("productId", Id)];

pub(crate) const MARKET_PRICE: &[Field] = &[("recentPrice", Count), ("averagePrice", Count)];

pub(crate) const SELLING: &[Field] = &[
    ("productId", Id),
    ("type", Text),
    ("state", Text),
    ("dataAmount?", Number),
    ("remainAmount?", Number),
    ("startTime?", DateTime),
    ("endTime?", DateTime),
    ("title?", Text),
    ("productImageUrl?", Text),
    ("createdAt", DateTime),
    ("updatedAt", DateTime),
];

pub(crate) const ROOM_MADE: &[Field] = &[("chatRoomId", Id)];

pub(crate) const ROOM: &[Field] = &[
    ("chatRoomId", Id),
    ("createdAt", DateTime),
    ("lastMessageAt", DateTime),
    ("lastMessage?", Text),
    ("unreadCount", Count),
    ("senderId", Id),
    ("senderName", Text),
    ("senderProfileImageUrl?", Text),
    ("productId", Id),
    ("itemId", Id),
    ("itemType", Text),
    ("startTime?", Text),
    ("endTime?", Text),
];

pub(crate) const HISTORY: &[Field] = &[
    ("chatMessageId", Id),
    ("message", Text),
    ("createdAt", DateTime),
    ("isMine", Flag),
    ("+senderId", Id),
    ("+clientMessageId", Text),
    ("+contentType", Text),
    ("+deleted", Flag),
];

pub(crate) const MESSAGE: &[Field] = &[
    ("chatRoomId", Id),
    ("chatMessageId", Id),
    ("senderId", Id),
    ("message", Text),
    ("createdAt", DateTime),
];

pub(crate) const ALARM: &[Field] = &[
    ("tradeId", Id),
    ("eventState", OneOf(&["START", "END"])),
    ("memberId", Id),
    ("startTime", Time),
    ("endTime", Time),
];

pub(crate) const CHARGED: &[Field] = &[("paymentId", Id), ("totalAmount", Count)];

pub(crate) const CHECKOUT: &[Field] = &[("available", Flag), ("payPage", OrNull(&Text))];

pub(crate) const CHARGE: &[Field] = &[
    ("paymentId", Id),
    ("orderId", Text),
    ("amount", Count),
    ("state", Text),
    ("tradeId", OrNull(&Id)),
    ("createdAt", DateTime),
    ("dueAt", OrNull(&DateTime)),
];

pub(crate) const REFUNDED: &[Field] = &[("refundPrice", Count), ("remainCash", Count)];

pub(crate) const REFUND: &[Field] = &[
    ("refundId", Id),
    ("requestId", Text),
    ("amount", Count),
    ("canceled", Count),
    ("paidOut", Count),
    ("returned", Count),
    ("verifying", Count),
    ("state", OneOf(&["OPEN", "DONE"])),
    ("tradeId", Id),
    ("createdAt", DateTime),
];

pub(crate) const TRADED: &[Field] = &[("tradeId", Id)];

pub(crate) const TRADED_TIME: &[Field] = &[
    ("tradeId", Id),
    ("+price", Count),
    ("+startTime", DateTime),
    ("+endTime", DateTime),
];

const PART: &[Field] = &[
    ("productId", Id),
    ("mobileDataId", Id),
    ("memberName", Text),
    ("profileImageUrl", PICTURE),
    ("price", Count),
    ("purchasePrice", Count),
    ("remainAmount", Number),
    ("purchaseAmount", Number),
    ("pricePer100MB", Count),
    ("splitType", Flag),
    ("updatedAt", DateTime),
];

const CANDIDATE: &[Field] = &[
    ("totalAmount", Number),
    ("totalPrice", Count),
    ("combinations", Many(PART)),
    ("quoteId", Text),
];

pub(crate) const QUOTE: &[Field] = &[
    ("totalAmount", Number),
    ("totalPrice", Count),
    ("combinations", Many(PART)),
    ("+quoteId", OrNull(&Text)),
    ("+candidates", Many(CANDIDATE)),
    ("+greedy", OrNull(&One(CANDIDATE))),
    ("+expiresAt", DateTime),
    ("+nearestBelow", OrNull(&Number)),
    ("+nearestAbove", OrNull(&Number)),
];

pub(crate) const PURCHASES: &[Field] = &[("tradeCount", Count), ("trades", One(PAGE))];

pub(crate) const PURCHASE: &[Field] = &[
    ("tradeId", Id),
    (
        "tradeType",
        OneOf(&[
            "PURCHASE_MOBILE_SINGLE",
            "PURCHASE_MOBILE_COMPOSITE",
            "PURCHASE_WIFI",
            "PURCHASE_HOTSPOT",
        ]),
    ),
    ("dataAmount", Number),
    ("timeAmount", Count),
    ("title", Text),
    ("productImageUrl", PICTURE),
    ("reviewed", Flag),
    ("createdAt", DateTime),
];

const SUMMARY: &[Field] = &[
    ("totalPurchase", Count),
    ("totalSelling", Count),
    ("totalCharge", Count),
    ("totalRefund", Count),
    ("total", Integer),
];

pub(crate) const CASH_HISTORY: &[Field] = &[
    ("cashHistoryMonthlySummary", One(SUMMARY)),
    ("cashHistorySummary", One(PAGE)),
];

pub(crate) const CASH_ROW: &[Field] = &[
    ("tradeId", Id),
    ("tradeType", Text),
    ("price", Count),
    ("description", Text),
    ("classification", OneOf(&["구매", "판매", "충전", "출금"])),
    ("createdAt", DateTime),
];

pub(crate) const REVIEW_MADE: &[Field] = &[("reviewId", Id)];

pub(crate) const REVIEW: &[Field] = &[("reviewId", Id), ("rating", Number), ("comment", Text)];

/// Without the name of the other member, which depends on the list.
macro_rules! review_row {
    ($($name:tt)*) => {
        &[
            ("reviewId", Id),
            ("rating", Number),
            ("comment", Text),
            ("createdAt", DateTime),
            ("updatedAt", DateTime),
            ("reviewerId", Id),
            $($name)*,
            ("tradeId", Id),
            ("dataAmount?", Number),
            ("timeAmount?", Count),
            ("productId", Id),
            ("itemType", OneOf(&["MOBILE_DATA", "WIFI", "HOTSPOT"])),
        ]
    };
}

pub(crate) const REVIEW_RECEIVED: &[Field] = review_row!(("reviewerName", Text));

/// The first front end would show a `reviewerName` instead of the other member's.
pub(crate) const REVIEW_WROTE: &[Field] = review_row!(("revieweeName", Text), ("+revieweeId", Id));

pub(crate) const NOTIFICATION: &[Field] = &[
    ("id", Id),
    ("title", Text),
    ("body", Text),
    ("createdAt", DateTime),
    ("+kind", Text),
    ("+data", Any),
    ("+read", Flag),
];

/// Why an account stays open.
pub(crate) const REASONS: &[Field] = &[("reasons", Texts)];

pub(crate) const BLOCKED: &[Field] = &[
    ("memberId", Id),
    ("name", Text),
    ("profileImageUrl", PICTURE),
    ("blockedAt", DateTime),
];
