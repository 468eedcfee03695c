//! Settings of trades.

use clap::Args;

use super::Config;
use crate::trades::Fees;

/// Fees of sales.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct TradeSettings {
    /// Fee of mobile data sold, in basis points of the price (1/10,000), rounded down
    #[arg(long, env = "MARKET_DATA_FEE", default_value_t = 0, value_name = "BASIS_POINTS",
        value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub data_fee: u16,

    /// Fee of time on Wi-Fi spots and hotspots sold, likewise
    #[arg(long, env = "MARKET_SPOT_FEE", default_value_t = 0, value_name = "BASIS_POINTS",
        value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub spot_fee: u16,
}

impl Config {
    /// The fees of sales.
    pub(crate) const fn fees(&self) -> Fees {
        Fees {
            data: self.trades.data_fee,
            spots: self.trades.spot_fee,
        }
    }
}
