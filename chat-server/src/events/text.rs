//! Titles and sentences of notifications, in Korean and English.

use shared::clock::LocalDateTime;
use shared::money::{Units, Won};
use shared::text::Language;

/// What was bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goods {
    /// Mobile data.
    Data(Units),
    /// Minutes on a Wi-Fi.
    Wifi(u32),
    /// Minutes on a hotspot.
    Hotspot(u32),
    /// An offer of which the event says no amount.
    Offer,
}

/// What a notification says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// The reader bought something for so much.
    Bought(Goods, Won),
    /// The reader sold something and gets so much.
    Sold(Goods, Won),
    /// Nothing is left of the reader's offer.
    SoldOut,
    /// The time that the reader booked has begun; from when to when it lasts.
    TimeStarted((LocalDateTime, LocalDateTime)),
    /// It is over.
    TimeEnded,
    /// The time that a buyer booked on the reader's spot has begun.
    GuestStarted((LocalDateTime, LocalDateTime)),
    /// It is over.
    GuestEnded,
    /// A charge was captured.
    Charged(Won),
    /// A refund was accepted.
    Refunded(Won),
    /// A part of a refund came back.
    Returned(Won),
    /// The reader was rated.
    Reviewed,
    /// A report of the reader's was decided.
    ReportDecided,
    /// A kind, or a version of one, that this release does not have.
    Other,
}

/// The title and the sentence.
pub(super) fn of(text: &Text, language: Language) -> (&'static str, String) {
    match language {
        Language::Korean => korean(text),
        Language::English => english(text),
    }
}

fn korean(text: &Text) -> (&'static str, String) {
    let goods = |goods: &Goods| match goods {
        Goods::Data(units) => format!("데이터 {units}GB를"),
        Goods::Wifi(minutes) => format!("와이파이 {minutes}분을"),
        Goods::Hotspot(minutes) => format!("핫스팟 {minutes}분을"),
        Goods::Offer => "상품을".to_owned(),
    };
    match text {
        Text::Bought(bought, price) => (
            "구매 완료",
            format!("{} {}원에 구매했습니다.", goods(bought), grouped(*price)),
        ),
        Text::Sold(sold, income) => (
            "판매 완료",
            format!(
                "{} 판매해 {}원을 받았습니다.",
                goods(sold),
                grouped(*income)
            ),
        ),
        Text::SoldOut => ("상품 품절", "등록한 상품이 모두 판매되었습니다.".to_owned()),
        Text::TimeStarted(hours) => (
            "이용 시작",
            format!("{}까지 이용할 수 있습니다.", span(*hours, "부터 ")),
        ),
        Text::TimeEnded => ("이용 종료", "구매한 이용 시간이 끝났습니다.".to_owned()),
        Text::GuestStarted(hours) => (
            "이용 시작",
            format!("구매자가 {}까지 이용합니다.", span(*hours, "부터 ")),
        ),
        Text::GuestEnded => ("이용 종료", "구매자의 이용 시간이 끝났습니다.".to_owned()),
        Text::Charged(amount) => (
            "충전 완료",
            format!("{}원이 충전되었습니다.", grouped(*amount)),
        ),
        Text::Refunded(amount) => (
            "환불 접수",
            format!("{}원의 환불이 접수되었습니다.", grouped(*amount)),
        ),
        Text::Returned(amount) => (
            "환불 실패",
            format!(
                "환불하지 못한 {}원이 캐시로 돌아왔습니다.",
                grouped(*amount)
            ),
        ),
        Text::Reviewed => ("새 후기", "회원님에 대한 후기가 등록되었습니다.".to_owned()),
        Text::ReportDecided => ("신고 처리", "접수하신 신고가 처리되었습니다.".to_owned()),
        Text::Other => ("새 알림", "새로운 소식이 있습니다.".to_owned()),
    }
}

fn english(text: &Text) -> (&'static str, String) {
    let goods = |goods: &Goods| match goods {
        Goods::Data(units) => format!("{units} GB of data"),
        Goods::Wifi(minutes) => format!("{minutes} minutes of Wi-Fi"),
        Goods::Hotspot(minutes) => format!("{minutes} minutes of a hotspot"),
        Goods::Offer => "an offer".to_owned(),
    };
    match text {
        Text::Bought(bought, price) => (
            "Purchase complete",
            format!("You bought {} for {} won.", goods(bought), grouped(*price)),
        ),
        Text::Sold(sold, income) => (
            "Sale complete",
            format!(
                "You sold {} and received {} won.",
                goods(sold),
                grouped(*income)
            ),
        ),
        Text::SoldOut => (
            "Offer sold out",
            "Nothing is left of your offer.".to_owned(),
        ),
        Text::TimeStarted(hours) => (
            "Your time has started",
            format!("You can use the connection from {}.", span(*hours, " to ")),
        ),
        Text::TimeEnded => (
            "Your time is over",
            "The time you booked has ended.".to_owned(),
        ),
        Text::GuestStarted(hours) => (
            "A booking has started",
            format!(
                "The buyer uses the connection from {}.",
                span(*hours, " to ")
            ),
        ),
        Text::GuestEnded => (
            "A booking is over",
            "The buyer's time has ended.".to_owned(),
        ),
        Text::Charged(amount) => (
            "Charge complete",
            format!("{} won were charged.", grouped(*amount)),
        ),
        Text::Refunded(amount) => (
            "Refund accepted",
            format!("A refund of {} won was accepted.", grouped(*amount)),
        ),
        Text::Returned(amount) => (
            "Refund not possible",
            format!(
                "{} won could not be refunded and are back in your cash.",
                grouped(*amount)
            ),
        ),
        Text::Reviewed => ("New review", "A review about you was written.".to_owned()),
        Text::ReportDecided => ("Report decided", "Your report was decided.".to_owned()),
        Text::Other => ("News", "There is something new for you.".to_owned()),
    }
}

/// `12:30` and `13:00` with a text in between.
fn span((from, to): (LocalDateTime, LocalDateTime), between: &str) -> String {
    let minute = |at: LocalDateTime| at.to_string().get(11..16).unwrap_or_default().to_owned();
    format!("{}{between}{}", minute(from), minute(to))
}

/// With a comma after each three digits.
fn grouped(amount: Won) -> String {
    let digits = amount.get().unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if amount.get() < 0 {
        text.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_grouped_by_three_digits() {
        for (won, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
            (-12_345, "-12,345"),
        ] {
            assert_eq!(grouped(Won::new(won)), expected);
        }
    }

    #[test]
    fn every_text_is_in_both_languages() {
        let hours = (
            "2025-08-07T12:30:00".parse().unwrap(),
            "2025-08-07T13:00:00".parse().unwrap(),
        );
        let check = |text: Text, korean: (&str, &str), english: (&str, &str)| {
            for (language, (title, body)) in
                [(Language::Korean, korean), (Language::English, english)]
            {
                assert_eq!(of(&text, language), (title, body.to_owned()));
            }
        };
        let (data, won) = (Goods::Data(Units::new(13)), Won::new(1_500));
        check(
            Text::Bought(data, won),
            ("구매 완료", "데이터 1.3GB를 1,500원에 구매했습니다."),
            (
                "Purchase complete",
                "You bought 1.3 GB of data for 1,500 won.",
            ),
        );
        check(
            Text::Sold(Goods::Wifi(30), won),
            ("판매 완료", "와이파이 30분을 판매해 1,500원을 받았습니다."),
            (
                "Sale complete",
                "You sold 30 minutes of Wi-Fi and received 1,500 won.",
            ),
        );
        check(
            Text::TimeStarted(hours),
            ("이용 시작", "12:30부터 13:00까지 이용할 수 있습니다."),
            (
                "Your time has started",
                "You can use the connection from 12:30 to 13:00.",
            ),
        );
        check(
            Text::GuestStarted(hours),
            ("이용 시작", "구매자가 12:30부터 13:00까지 이용합니다."),
            (
                "A booking has started",
                "The buyer uses the connection from 12:30 to 13:00.",
            ),
        );
        for text in [
            Text::SoldOut,
            Text::TimeEnded,
            Text::GuestEnded,
            Text::Charged(won),
            Text::Refunded(won),
            Text::Returned(won),
            Text::Reviewed,
            Text::ReportDecided,
            Text::Other,
        ] {
            let (korean, english) = (of(&text, Language::Korean), of(&text, Language::English));
            assert!(
                !korean.1.is_ascii() && english.1.is_ascii(),
                "{korean:?} {english:?}"
            );
        }
    }
}
