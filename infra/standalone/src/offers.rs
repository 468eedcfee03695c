//! Demo offers: fifty of mobile data and fifty of Wi-Fi around Seoul, a few of mobile data that are
//! sold out after the first start (`trades.rs`), and a few hotspots.
//!
//! They are created at the first start through the rules for members, within the monthly limits.
//! Later starts add only what an interrupted first start left out: changed, sold or deleted offers
//! stay so, and expired data is not offered again.

use market_api::products::{
    Kind, NewData, NewSpot, Price, Products, Sale, SellingQuery, SpotForm, State,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ProductId};
use shared::money::Units;
use shared::web::{ApiError, ErrorCode, PageSize};
use tracing::info;

/// One line per spot: title, description, address, degrees north, degrees east, hours, won for ten
/// minutes. Shops and streets are invented, districts are not.
const SPOTS: &str = include_str!("offers/spots.txt");

/// Offers of mobile data.
const DATA_COUNT: usize = 50;

/// What a seller offers in the month of the first start: 0.2 GB less than they may, so that a
/// visitor in their role can still offer something.
const SELLER_UNITS: u16 = 18;

/// Largest step while a seller's amount is spread over the offers.
const CHUNK_UNITS_MAX: u16 = 4;

/// Won for 0.1 GB, in steps of five.
const UNIT_PRICE_FIVES: std::ops::RangeInclusive<i64> = 16..=50;

/// Fixed seed: the same offers on every computer.
const SEED: u64 = 20_250_807;

/// Offers of 0.1 GB that are sold out at the first start: the seller's position, and the price.
/// These sellers can still offer another 0.1 GB.
pub(crate) const SOLD_OUT: [(usize, i64); 5] = [(2, 160), (3, 140), (4, 175), (5, 150), (6, 165)];

/// Hotspots with the positions of their sellers, in lines as those of [`SPOTS`].
const HOTSPOTS: [(usize, &str); 4] = [
    (
        2,
        "시청 광장 핫스팟|무제한 요금제예요. 광장 벤치 근처에서 잘 잡혀요.|중구 광장길 3|37.5660|126.9779|09:00-21:00|120",
    ),
    (
        3,
        "강남역 10번 출구 핫스팟|점심시간에 자리를 지켜요. 5G로 연결돼요.|강남구 판다로 22|37.4984|127.0281|11:00-20:00|150",
    ),
    (
        4,
        "한강공원 핫스팟|밤 산책하는 동안 켜 둘게요.|영등포구 물빛로 8|37.5284|126.9330|19:00-01:00|100",
    ),
    (
        5,
        "심야버스 핫스팟|새벽까지 이동하며 켜 두는 핫스팟이에요.|마포구 달빛로 40|37.5560|126.9240|22:00-05:00|90",
    ),
];

/// An offer, with its seller's position among the demo members.
#[derive(Clone, Debug)]
struct Offer {
    seller: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Data { price: i64, units: u16, sale: Sale },
    Spot(SpotForm),
    Hotspot(SpotForm),
}

/// The month's limits of a seller.
const FULL: [ErrorCode; 2] = [ErrorCode::SellLimit, ErrorCode::PlanShort];

/// Creates the missing offers. A seller that is `None` offers nothing.
///
/// # Errors
/// The market's.
pub(crate) async fn set_up(
    products: &Products,
    sellers: &[Option<MemberId>],
) -> Result<(), ApiError> {
    let mut made_before = Vec::new();
    for seller in sellers {
        made_before.push(match seller {
            Some(member) => count(products, *member).await?,
            None => 0,
        });
    }
    for offer in made(sellers.len()) {
        let Some(member) = sellers[offer.seller] else {
            continue;
        };
        // Offers are never removed, and each seller's are made in the same order.
        let before = &mut made_before[offer.seller];
        if *before > 0 {
            *before -= 1;
            continue;
        }
        match make(products, member, offer.what).await {
            Err(error) if FULL.contains(&error.code()) => {
                info!("member {member} sells something else this month");
            }
            made => made?,
        }
    }
    Ok(())
}

/// An offer of mobile data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataOffer {
    /// The seller's position among the demo members.
    pub(crate) seller: usize,
    /// Its place among the seller's offers of mobile data.
    pub(crate) nth: usize,
    /// The amount in units of 0.1 GB.
    pub(crate) units: u16,
    /// Whether it is sold whole or in parts.
    pub(crate) sale: Sale,
}

/// The offers of mobile data in the order of creation; the last ones are [`SOLD_OUT`].
pub(crate) fn of_data(sellers: usize) -> Vec<DataOffer> {
    let mut counts = vec![0; sellers];
    let mut found = Vec::new();
    for Offer { seller, what } in made(sellers) {
        if let What::Data { units, sale, .. } = what {
            let nth = counts[seller];
            counts[seller] += 1;
            found.push(DataOffer {
                seller,
                nth,
                units,
                sale,
            });
        }
    }
    found
}

/// The ids of a member's offers of a kind in any state, in the order of creation.
pub(crate) async fn ids(
    products: &Products,
    member: MemberId,
    kind: Kind,
) -> Result<Vec<ProductId>, ApiError> {
    let mut ids = Vec::new();
    for state in State::ALL {
        let mut after = None;
        loop {
            let query = SellingQuery {
                seller: member,
                reader: member,
                state,
                size: PageSize::HISTORY,
                after,
            };
            let page = products.details().selling(&query).await?;
            after = page.rows.last().map(|row| row.id);
            let of_kind = page.rows.iter().filter(|row| row.kind == kind);
            ids.extend(of_kind.map(|row| row.id));
            if !page.has_next {
                break;
            }
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

/// How many offers this member has created, in any state.
async fn count(products: &Products, member: MemberId) -> Result<u64, ApiError> {
    let mut sum = 0;
    for state in State::ALL {
        let query = SellingQuery {
            seller: member,
            reader: member,
            state,
            size: PageSize::LIST,
            after: None,
        };
        sum += products.details().selling(&query).await?.count;
    }
    Ok(sum)
}

async fn make(products: &Products, member: MemberId, what: What) -> Result<(), ApiError> {
    match what {
        What::Data { price, units, sale } => {
            let offer = NewData {
                member,
                price: Price::parse(price)?,
                units: Units::new(units),
                sale,
            };
            products.offer_data(offer).await?;
        }
        What::Spot(form) => {
            let spot = NewSpot::parse(member, Kind::Wifi, form)?;
            products.offer_spot(spot).await?;
        }
        What::Hotspot(form) => {
            let spot = NewSpot::parse(member, Kind::Hotspot, form)?;
            products.offer_spot(spot).await?;
        }
    }
    Ok(())
}

/// All offers in the order of creation, with those that are sold out and hotspots last.
fn made(sellers: usize) -> Vec<Offer> {
    let sold_out = SOLD_OUT.into_iter().map(|(seller, price)| Offer {
        seller: seller % sellers,
        what: What::Data {
            price,
            units: 1,
            sale: Sale::Whole,
        },
    });
    let hotspots = HOTSPOTS.into_iter().map(|(seller, line)| Offer {
        seller: seller % sellers,
        what: What::Hotspot(spot(line)),
    });
    let for_sale = all(sellers).into_iter();
    for_sale.chain(sold_out).chain(hotspots).collect()
}

/// The offers that are for sale in the order of creation: data and Wi-Fi in turns, of one seller after the other. On
/// a fresh database the first two are the products that the demo rooms are about.
fn all(sellers: usize) -> Vec<Offer> {
    let mut rng = StdRng::seed_from_u64(SEED);
    let data: Vec<_> = (0..DATA_COUNT).map(|nth| (nth + 1) % sellers).collect();
    let share = |seller: usize| data.iter().filter(|one| **one == seller).count();
    let mut amounts: Vec<Vec<u16>> = (0..sellers)
        .map(|seller| spread(SELLER_UNITS, share(seller), &mut rng))
        .collect();
    let spots = SPOTS
        .lines()
        .map(spot)
        .enumerate()
        .map(|(nth, form)| Offer {
            seller: nth % sellers,
            what: What::Spot(form),
        });
    let data = data.iter().map(|&seller| {
        let units = amounts[seller].pop().expect("each share has its amount");
        let what = data_of(units, &mut rng);
        Offer { seller, what }
    });
    data.zip(spots).flat_map(<[Offer; 2]>::from).collect()
}

/// An offer of so many units; one that is sold as a whole is a little cheaper.
fn data_of(units: u16, rng: &mut StdRng) -> What {
    let unit_price = 5 * rng.random_range(UNIT_PRICE_FIVES);
    let is_split = units > 1 && rng.random_range(0..2) == 0;
    let sum = unit_price * i64::from(units);
    let (sale, price) = match is_split {
        true => (Sale::Split, sum),
        false => (Sale::Whole, sum - sum % 100),
    };
    What::Data {
        price: price.max(unit_price),
        units,
        sale,
    }
}

/// `units` in `parts` of one at least, some much larger than others.
fn spread(units: u16, parts: usize, rng: &mut StdRng) -> Vec<u16> {
    let mut amounts = vec![1; parts];
    let mut left = units.saturating_sub(u16::try_from(parts).unwrap_or(u16::MAX));
    while left > 0 {
        let chunk = rng.random_range(1..=CHUNK_UNITS_MAX).min(left);
        amounts[rng.random_range(0..parts)] += chunk;
        left -= chunk;
    }
    amounts
}

/// A line of [`SPOTS`].
fn spot(line: &str) -> SpotForm {
    let parts: Vec<_> = line.split('|').collect();
    let [title, content, address, north, east, hours, price] = parts[..] else {
        unreachable!("a line has seven parts: {line}")
    };
    let (opens, closes) = hours.split_once('-').expect("hours are from and to");
    // Only the time of day counts; an end that is not later belongs to the next day.
    let closing_day = if closes > opens { 1 } else { 2 };
    let time = |day: u8, clock: &str| -> LocalDateTime {
        let text = format!("2025-08-0{day}T{clock}:00");
        text.parse().expect("hours are times of day")
    };
    SpotForm {
        price: price.parse().expect("a price is a number"),
        title: title.to_owned(),
        content: content.to_owned(),
        latitude: north.parse().expect("degrees are a number"),
        longitude: east.parse().expect("degrees are a number"),
        address: format!("서울 {address}"),
        opens_at: time(1, opens),
        closes_at: time(closing_day, closes),
        images: Vec::new(),
        capacity: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::demo::talk;
    use crate::market::tests::{demo_members, open};

    const SELLERS: usize = 8;

    #[test]
    fn offers_are_fifty_of_each_kind_within_the_limits() {
        let mut month = [0; SELLERS];
        let mut amounts = BTreeSet::new();
        let (mut data, mut spots) = (0, 0);
        for Offer { seller, what } in all(SELLERS) {
            match what {
                What::Data { price, units, .. } => {
                    assert!(Price::parse(price).is_ok(), "{price}");
                    month[seller] += units;
                    amounts.insert(units);
                    data += 1;
                }
                What::Spot(form) => {
                    let member = MemberId::try_from(1_u64).unwrap();
                    assert!(form.title.chars().count() <= 30, "{}", form.title);
                    assert!(form.content.chars().count() <= 63, "{}", form.content);
                    assert!((37.42..37.71).contains(&form.latitude), "{}", form.title);
                    assert!((126.76..127.19).contains(&form.longitude), "{}", form.title);
                    NewSpot::parse(member, Kind::Wifi, form).unwrap();
                    spots += 1;
                }
                What::Hotspot(form) => panic!("beside the fifty: {}", form.title),
            }
        }
        assert_eq!((data, spots), (50, 50));
        assert_eq!(month, [SELLER_UNITS; SELLERS]);
        assert!(amounts.len() >= 6, "{amounts:?}");
    }

    #[test]
    fn the_first_two_are_what_the_demo_rooms_are_about() {
        let texts = |lines: &[talk::Line]| lines.iter().map(|line| line.2).collect::<String>();
        let all = all(SELLERS);
        let Offer {
            seller: 1,
            what: What::Data { price, units, sale },
        } = all[0]
        else {
            panic!("{:?}", all[0])
        };
        assert_eq!(sale, Sale::Split, "the members talk about a part of it");
        let amount = f64::from(units) / 10.0;
        assert!(texts(talk::MOBILE_DATA).contains(&format!("데이터 {amount}GB")));
        let unit_price = price / i64::from(units);
        assert!(texts(talk::MOBILE_DATA).contains(&format!("100MB에 {unit_price}원")));
        let Offer {
            seller: 0,
            what: What::Spot(form),
        } = &all[1]
        else {
            panic!("{:?}", all[1])
        };
        let hours = (
            form.opens_at.minute_of_day(),
            form.closes_at.minute_of_day(),
        );
        assert_eq!(hours, (10 * 60, 22 * 60));
        assert!(texts(talk::WIFI).contains(&form.title));
        assert!(texts(talk::WIFI).contains(&format!("10분에 {}원", form.price)));
    }

    #[test]
    fn no_spot_closes_when_it_opens() {
        for form in SPOTS.lines().map(spot) {
            let (opens, closes) = (form.opens_at, form.closes_at);
            assert_ne!(
                opens.minute_of_day(),
                closes.minute_of_day(),
                "{}",
                form.title
            );
        }
    }

    #[test]
    fn at_every_hour_some_are_open_and_some_are_not() {
        let hours: Vec<_> = SPOTS
            .lines()
            .map(spot)
            .map(|form| {
                (
                    form.opens_at.minute_of_day(),
                    form.closes_at.minute_of_day(),
                )
            })
            .collect();
        for now in (0..24).map(|hour| hour * 60 + 30) {
            let open = |&&(from, to): &&(u16, u16)| match from < to {
                true => (from..=to).contains(&now),
                false => now >= from || now <= to,
            };
            let count = hours.iter().filter(open).count();
            assert!((5..=45).contains(&count), "{count} of 50 at minute {now}");
        }
    }

    #[tokio::test]
    async fn an_interrupted_first_start_is_made_whole_by_the_next() {
        let (market, _data) = open().await;
        let sellers = demo_members(&market).await;
        let products = market.products();
        for Offer { seller, what } in all(SELLERS).into_iter().take(33) {
            make(products, sellers[seller].unwrap(), what)
                .await
                .unwrap();
        }
        for _ in 0..2 {
            set_up(products, &sellers).await.unwrap();
            let mut sum = 0;
            for seller in &sellers {
                sum += count(products, seller.unwrap()).await.unwrap();
            }
            assert_eq!(sum, 100 + (SOLD_OUT.len() + HOTSPOTS.len()) as u64);
        }
    }
}
