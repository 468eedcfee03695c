//! Wire formats of Wi-Fi and hotspot spots: rows, details, forms.

use serde::{Deserialize, Serialize};
use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ProductId};
use shared::money::Won;
use utoipa::ToSchema;

use super::super::{ListedOffer, SpotDetail, SpotForm};
use super::stars;

/// A spot in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpotRow {
    #[schema(value_type = u32)]
    product_id: ProductId,
    /// The price of each started ten minutes, in won.
    #[schema(value_type = i64)]
    price: Won,
    #[schema(value_type = u32)]
    item_id: ProductId,
    /// The name of the seller.
    member_name: String,
    /// The seller's profile picture.
    profile_image_url: Option<String>,
    title: String,
    /// The first picture.
    image_url: Option<String>,
    latitude: f64,
    longitude: f64,
    address: String,
    /// The seller's mean rating, in stars; 0 without ratings.
    average_rate: f64,
    /// The distance in kilometres, rounded to metres.
    distance_km: f64,
    /// Whether it is open now.
    open: bool,
    /// The opening hours; only the time of day counts.
    #[schema(value_type = String, example = "2025-08-07T09:00:00.000")]
    start_time: LocalDateTime,
    #[schema(value_type = String, example = "2025-08-08T18:00:00.000")]
    end_time: LocalDateTime,
}

impl SpotRow {
    /// `None` for an offer that is not a spot.
    pub(super) fn new(offer: ListedOffer) -> Option<Self> {
        let (opens_at, closes_at) = offer.hours()?;
        let at = offer.position()?;
        let (price, seller_rate) = (offer.price(), offer.seller_rate());
        let row = offer.row;
        let spot = row.spot?;
        Some(Self {
            product_id: offer.id,
            price,
            item_id: offer.id,
            member_name: row.member_name,
            profile_image_url: row.member_image,
            title: spot.title,
            image_url: spot.image,
            latitude: at.latitude(),
            longitude: at.longitude(),
            address: spot.address,
            average_rate: stars(seller_rate),
            distance_km: offer.distance_m?.round() / 1_000.0,
            open: offer.open?,
            start_time: opens_at,
            end_time: closes_at,
        })
    }
}

/// The details of a spot.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpotView {
    #[schema(value_type = u32)]
    product_id: ProductId,
    #[schema(value_type = u32)]
    item_id: ProductId,
    /// The price of each started ten minutes, in won.
    #[schema(value_type = i64)]
    price: Won,
    /// The seller.
    #[schema(value_type = u32)]
    member_id: MemberId,
    member_name: String,
    profile_image_url: Option<String>,
    title: String,
    content: String,
    latitude: f64,
    longitude: f64,
    address: String,
    /// The seller's mean rating, in stars; 0 without ratings.
    average_rate: f64,
    review_count: i64,
    /// Whether the caller is the seller.
    my_product: bool,
    /// Pictures, in the order of display.
    image_urls: Vec<String>,
    /// The opening hours; only the time of day counts.
    #[schema(value_type = String, example = "2025-08-07T09:00:00.000")]
    start_time: LocalDateTime,
    #[schema(value_type = String, example = "2025-08-08T18:00:00.000")]
    end_time: LocalDateTime,
    /// Whether it is open now.
    open: bool,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    updated_at: LocalDateTime,
}

impl From<SpotDetail> for SpotView {
    fn from(detail: SpotDetail) -> Self {
        Self {
            product_id: detail.id,
            item_id: detail.id,
            price: detail.price,
            member_id: detail.seller.id,
            member_name: detail.seller.name,
            profile_image_url: detail.seller.image,
            title: detail.title,
            content: detail.content,
            latitude: detail.at.latitude(),
            longitude: detail.at.longitude(),
            address: detail.address,
            average_rate: stars(detail.seller.rate),
            review_count: detail.seller.ratings,
            my_product: detail.mine,
            image_urls: detail.images,
            start_time: detail.opens_at,
            end_time: detail.closes_at,
            open: detail.open,
            updated_at: LocalDateTime::from_unix(detail.updated_at),
        }
    }
}

/// A new offer of a spot.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfferForm {
    #[serde(flatten)]
    pub(super) spot: SpotFields,
    /// Public URLs of pictures that the caller has uploaded, up to 10. Lists show the first one.
    #[serde(default)]
    pub(super) images: Vec<String>,
}

/// The new description of a spot.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangeForm {
    #[schema(value_type = u32)]
    pub(super) product_id: ProductId,
    #[serde(flatten)]
    pub(super) spot: SpotFields,
    /// Public URLs of pictures, up to 10: uploaded by the caller, or already of this spot.
    #[serde(default)]
    pub(super) image_urls: Vec<String>,
}

/// The description of a spot.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpotFields {
    /// The price of each started ten minutes, in won.
    #[schema(minimum = 1, maximum = 10_000_000)]
    price: i64,
    /// 1 to 100 characters.
    title: String,
    /// Up to 1,000 characters.
    #[serde(default)]
    content: String,
    latitude: f64,
    longitude: f64,
    /// Up to 300 characters.
    #[serde(default)]
    address: String,
    /// The opening time; only the time of day counts. Not after `endTime`.
    #[schema(value_type = String, example = "2025-08-07T09:00:00")]
    start_time: LocalDateTime,
    /// The closing time; only the time of day counts. Before that of `startTime`: closes after midnight;
    /// equal: open all day.
    #[schema(value_type = String, example = "2025-08-08T18:00:00")]
    end_time: LocalDateTime,
    /// The maximum of concurrent guests.
    #[schema(minimum = 1, maximum = 1_000)]
    capacity: Option<u16>,
}

impl SpotFields {
    pub(super) fn with(self, images: Vec<String>) -> SpotForm {
        SpotForm {
            price: self.price,
            title: self.title,
            content: self.content,
            latitude: self.latitude,
            longitude: self.longitude,
            address: self.address,
            opens_at: self.start_time,
            closes_at: self.end_time,
            images,
            capacity: self.capacity,
        }
    }
}
