//! The public routes of every domain, merged.

use std::sync::Arc;

use axum::Extension;
use utoipa_axum::router::OpenApiRouter;

use super::Market;
use crate::account::{self, Account};
use crate::admin::{self, Admins};
use crate::cash::{self, Cash};
use crate::receipts::{self, Receipts};
use crate::scrap::{self, Scrap};
use crate::{
    auth, blocks, chats, images, login, members, payments, products, reports, reviews, trades,
};

impl Market {
    /// The routes of every domain.
    pub(super) fn routes(&self) -> OpenApiRouter {
        let (db, origins) = (self.db(), &self.http_stack.allowed_origins);
        OpenApiRouter::new()
            .merge(login::routes(self.logins.clone()))
            .merge(auth::routes(self.auth.clone(), Arc::clone(origins)))
            .merge(members::routes(self.members.clone()))
            .merge(blocks::routes(self.blocks.clone()))
            .merge(account::routes(Account::new(
                db.clone(),
                self.members.clone(),
                self.images.clone(),
                self.auth.cookies().clone(),
            )))
            .merge(cash::routes(Cash::new(db.clone())))
            .merge(images::routes(self.images.clone()))
            .merge(trades::routes(self.trades.clone()))
            .merge(scrap::routes(Scrap::new(db.clone())))
            .merge(products::routes(self.products.clone(), self.images.clone()))
            .merge(chats::routes(self.chats.clone()))
            .merge(reports::routes(self.reports.clone()))
            .merge(payments::routes(
                self.payments.clone(),
                self.webhook.clone(),
                self.pay_page.clone(),
            ))
            .merge(reviews::routes(self.reviews.clone()))
            .merge(receipts::routes(Receipts::new(db.clone())))
            .merge(admin::routes(Admins::new(db.clone(), self.members.clone())))
            .layer(Extension(self.auth.clone()))
    }
}
