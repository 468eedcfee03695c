//! Types of trades.

use crate::db::row::TextColumn;
use crate::products::Kind;

/// The type of a trade: one member's side of a purchase, sale, charge or refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TradeKind {
    /// Mobile data of one offer, bought.
    PurchaseSingle,
    /// Mobile data of several offers, bought together.
    PurchaseComposite,
    /// Wi-Fi time, bought.
    PurchaseWifi,
    /// Hotspot time, bought.
    PurchaseHotspot,
    /// Mobile data, sold.
    SaleData,
    /// Wi-Fi time, sold.
    SaleWifi,
    /// Hotspot time, sold.
    SaleHotspot,
    /// Cash charged.
    Charge,
    /// Cash refunded.
    Refund,
}

/// What a trade does to its member's cash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Classification {
    /// Pays.
    Purchase,
    /// Is paid.
    Sale,
    /// Charges.
    Charge,
    /// Takes cash out.
    Refund,
}

impl TradeKind {
    /// All types.
    pub const ALL: [Self; 9] = [
        Self::PurchaseSingle,
        Self::PurchaseComposite,
        Self::PurchaseWifi,
        Self::PurchaseHotspot,
        Self::SaleData,
        Self::SaleWifi,
        Self::SaleHotspot,
        Self::Charge,
        Self::Refund,
    ];

    /// The name in the database and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PurchaseSingle => "PURCHASE_MOBILE_SINGLE",
            Self::PurchaseComposite => "PURCHASE_MOBILE_COMPOSITE",
            Self::PurchaseWifi => "PURCHASE_WIFI",
            Self::PurchaseHotspot => "PURCHASE_HOTSPOT",
            Self::SaleData => "SALE_MOBILE_DATA",
            Self::SaleWifi => "SALE_WIFI",
            Self::SaleHotspot => "SALE_HOTSPOT",
            Self::Charge => "CHARGE",
            Self::Refund => "REFUND",
        }
    }

    /// The type of a purchase from one offer of this kind.
    #[must_use]
    pub const fn purchase_of(kind: Kind) -> Self {
        match kind {
            Kind::MobileData => Self::PurchaseSingle,
            Kind::Wifi => Self::PurchaseWifi,
            Kind::Hotspot => Self::PurchaseHotspot,
        }
    }

    /// The type of a sale of this kind of offer.
    #[must_use]
    pub const fn sale_of(kind: Kind) -> Self {
        match kind {
            Kind::MobileData => Self::SaleData,
            Kind::Wifi => Self::SaleWifi,
            Kind::Hotspot => Self::SaleHotspot,
        }
    }

    /// What it does to the member's cash.
    #[must_use]
    pub const fn classification(self) -> Classification {
        match self {
            Self::PurchaseSingle
            | Self::PurchaseComposite
            | Self::PurchaseWifi
            | Self::PurchaseHotspot => Classification::Purchase,
            Self::SaleData | Self::SaleWifi | Self::SaleHotspot => Classification::Sale,
            Self::Charge => Classification::Charge,
            Self::Refund => Classification::Refund,
        }
    }
}

impl TextColumn for TradeKind {
    fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }
}
