//! Validation of offers: bounds and formats of everything that sellers send.

use shared::clock::LocalDateTime;
use shared::ids::MemberId;
use shared::money::{Units, Won};
use shared::text::bounded;

use super::{FormError, Kind, Position};

/// Maximum price in won, the cap of `money.md`.
const PRICE_MAX: i64 = 10_000_000;

/// Units that may be sold, and bought, in a month: two gigabytes.
pub(super) const MONTH_UNITS_MAX: u16 = 20;

/// Bound of a title in characters. The first site's form has 30; its column, and old rows, more.
const TITLE_CHARS_MAX: usize = 100;
const CONTENT_CHARS_MAX: usize = 1_000;
const ADDRESS_CHARS_MAX: usize = 300;

/// Bound of a spot's pictures. The front end shows a handful.
const IMAGES_MAX: usize = 10;
const IMAGE_URL_CHARS_MAX: usize = 2_048;
const IMAGE_ENDINGS: [&str; 3] = [".jpg", ".jpeg", ".png"];

/// Concurrent guests if the seller names no capacity: a router serves several.
const CAPACITY_DEFAULT: u16 = 10;
const CAPACITY_MAX: u16 = 1_000;

/// A valid price: 1 to 10,000,000 won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price(Won);

impl Price {
    /// # Errors
    /// [`FormError::Value`] outside the bounds.
    pub fn parse(won: i64) -> Result<Self, FormError> {
        if (1..=PRICE_MAX).contains(&won) {
            Ok(Self(Won::new(won)))
        } else {
            Err(FormError::Value)
        }
    }

    /// The price in won.
    #[must_use]
    pub const fn won(self) -> Won {
        self.0
    }

    /// The price per unit, rounded up, so that the parts together cost no less than the whole.
    pub(super) fn per_unit(self, units: Units) -> Won {
        let price = self.0.checked_div_ceil(u32::from(units.get()));
        price.expect("an offer has a unit at least")
    }
}

/// An amount to offer, parsed from gigabytes.
///
/// # Errors
/// [`FormError::Amount`] for what is no whole number of units or none at all,
/// [`FormError::SellLimit`] for more than a month allows.
pub fn listed_units(gigabytes: f64) -> Result<Units, FormError> {
    let units = match Units::from_gigabytes(gigabytes) {
        Ok(units) if units > Units::ZERO => units,
        Ok(_) | Err(_) => return Err(FormError::Amount),
    };
    if units.get() > MONTH_UNITS_MAX {
        return Err(FormError::SellLimit);
    }
    Ok(units)
}

/// A spot's fields, not validated yet.
#[derive(Clone, Debug)]
pub struct SpotForm {
    /// Won for each started ten minutes.
    pub price: i64,
    /// The title: one line.
    pub title: String,
    /// The description.
    pub content: String,
    /// Latitude in degrees.
    pub latitude: f64,
    /// Longitude in degrees.
    pub longitude: f64,
    /// The postal address, for display.
    pub address: String,
    /// Opening time; only the time of day counts.
    pub opens_at: LocalDateTime,
    /// Closing time; only the time of day counts. The front end sends the next day's date.
    pub closes_at: LocalDateTime,
    /// URLs of pictures; lists show the first.
    pub images: Vec<String>,
    /// Bound of concurrent guests; a default without it.
    pub capacity: Option<u16>,
}

/// A validated spot.
#[derive(Clone, Debug)]
pub struct NewSpot {
    pub(super) member: MemberId,
    pub(super) kind: Kind,
    pub(super) price: Price,
    pub(super) title: String,
    pub(super) content: String,
    pub(super) at: Position,
    pub(super) address: String,
    pub(super) opens_at: LocalDateTime,
    pub(super) closes_at: LocalDateTime,
    pub(super) images: Vec<String>,
    pub(super) capacity: u16,
}

impl NewSpot {
    /// Position and address that every member may see: of a hotspot only the rounded position.
    pub(super) fn shown(&self) -> (Position, &str) {
        match self.kind {
            Kind::Hotspot => (self.at.coarse(), ""),
            Kind::Wifi | Kind::MobileData => (self.at, &self.address),
        }
    }

    /// Validates the fields.
    ///
    /// # Errors
    /// [`FormError::Kind`] for mobile data, which is nowhere; else what is wrong with it.
    pub fn parse(member: MemberId, kind: Kind, form: SpotForm) -> Result<Self, FormError> {
        match kind {
            Kind::Wifi | Kind::Hotspot => {}
            Kind::MobileData => return Err(FormError::Kind),
        }
        if form.opens_at > form.closes_at {
            return Err(FormError::StartAfterEnd);
        }
        let at = Position::new(form.latitude, form.longitude);
        let capacity = form.capacity.unwrap_or(CAPACITY_DEFAULT);
        if !(1..=CAPACITY_MAX).contains(&capacity) {
            return Err(FormError::Value);
        }
        let title = text(&form.title, TITLE_CHARS_MAX)?;
        if title.is_empty() {
            return Err(FormError::Value);
        }
        Ok(Self {
            member,
            kind,
            price: Price::parse(form.price)?,
            title,
            content: text(&form.content, CONTENT_CHARS_MAX)?,
            at: at.ok_or(FormError::Value)?,
            address: text(&form.address, ADDRESS_CHARS_MAX)?,
            opens_at: form.opens_at,
            closes_at: form.closes_at,
            images: images(form.images)?,
            capacity,
        })
    }
}

fn text(text: &str, chars_max: usize) -> Result<String, FormError> {
    let stored = bounded(text, chars_max).ok_or(FormError::Value)?;
    Ok(stored.to_owned())
}

fn images(urls: Vec<String>) -> Result<Vec<String>, FormError> {
    if urls.len() > IMAGES_MAX {
        return Err(FormError::Value);
    }
    for url in &urls {
        let known = url.starts_with("https://") || url.starts_with("http://");
        let plain = url.chars().all(|c| !c.is_control() && !c.is_whitespace());
        if !known || !plain || url.chars().count() > IMAGE_URL_CHARS_MAX {
            return Err(FormError::Value);
        }
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let path = path.to_ascii_lowercase();
        if !IMAGE_ENDINGS.iter().any(|ending| path.ends_with(ending)) {
            return Err(FormError::Image);
        }
    }
    Ok(urls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> SpotForm {
        SpotForm {
            price: 500,
            title: "Café".to_owned(),
            content: String::new(),
            latitude: 37.5,
            longitude: 127.0,
            address: String::new(),
            opens_at: "2026-11-15T09:00:00".parse().unwrap(),
            closes_at: "2026-11-16T18:00:00".parse().unwrap(),
            images: vec!["https://img.example/a.JPG?w=1".to_owned()],
            capacity: None,
        }
    }

    /// The error for a valid form with this change; `None` if it is accepted.
    fn refusal(change: impl FnOnce(&mut SpotForm)) -> Option<FormError> {
        let mut form = form();
        change(&mut form);
        let member = MemberId::try_from(1_u64).unwrap();
        NewSpot::parse(member, Kind::Wifi, form).err()
    }

    #[test]
    fn form_is_taken_or_refused_by_its_values() {
        assert_eq!(refusal(|_| {}), None);
        assert_eq!(refusal(|form| form.closes_at = form.opens_at), None);
        let image = |url: &str| vec![url.to_owned()];
        let bad = [
            refusal(|form| form.price = 0),
            refusal(|form| form.price = 10_000_001),
            refusal(|form| form.title = "  ".to_owned()),
            refusal(|form| form.title = "\u{200b}".to_owned()),
            refusal(|form| form.title = " \u{2800}\u{3164} ".to_owned()),
            refusal(|form| form.content = "\u{3164}".to_owned()),
            refusal(|form| form.address = "\u{200b}\u{200b}".to_owned()),
            refusal(|form| form.title = "가".repeat(101)),
            refusal(|form| form.content = "a\0b".to_owned()),
            refusal(|form| form.address = "x".repeat(301)),
            refusal(|form| form.latitude = 90.1),
            refusal(|form| form.capacity = Some(0)),
            refusal(|form| form.images = image("javascript:x.png")),
            refusal(|form| form.images = vec!["https://i/a.png".to_owned(); 11]),
        ];
        for (nth, found) in bad.into_iter().enumerate() {
            assert_eq!(found, Some(FormError::Value), "{nth}");
        }
        let gif = refusal(|form| form.images = image("https://i/a.gif"));
        assert_eq!(gif, Some(FormError::Image));
        let early: LocalDateTime = "2026-11-15T08:59:59".parse().unwrap();
        let turned = refusal(|form| form.closes_at = early);
        assert_eq!(turned, Some(FormError::StartAfterEnd));
    }

    #[test]
    fn amount_is_whole_tenths_up_to_two_gigabytes() {
        assert_eq!(listed_units(0.1 + 0.2).unwrap(), Units::new(3));
        assert_eq!(listed_units(2.0).unwrap(), Units::new(20));
        for bad in [0.0, -0.1, 0.05, 1.25, f64::NAN] {
            assert!(matches!(listed_units(bad), Err(FormError::Amount)), "{bad}");
        }
        assert!(matches!(listed_units(2.1), Err(FormError::SellLimit)));
    }

    #[test]
    fn unit_price_is_rounded_up_to_one_won_at_least() {
        let unit = |price, units| {
            Price::parse(price)
                .unwrap()
                .per_unit(Units::new(units))
                .get()
        };
        assert_eq!(unit(101, 20), 6);
        assert_eq!(unit(100, 20), 5);
        assert_eq!(unit(1, 20), 1);
        assert_eq!(unit(10_000_000, 3), 3_333_334);
    }
}
