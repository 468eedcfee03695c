//! The OpenAPI documents, and the page that shows the public one.

use axum::Router;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_swagger_ui::SwaggerUi;

use shared::web::{common_errors, guarded};

use super::BODY_BYTES_MAX;

/// Where the page is.
const PAGE: &str = "/docs/chat";

/// Where its document is.
const DOCUMENT: &str = "/docs/chat/openapi.json";

/// The page and the document; everything it needs is in the binary.
pub(super) fn router(document: OpenApi) -> Router {
    let page: Router = SwaggerUi::new(PAGE).url(DOCUMENT, document).into();
    guarded(page, BODY_BYTES_MAX)
}

/// The head of the clients' document.
pub(super) fn public() -> OpenApi {
    let cookie = |name| SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(name)));
    let schemes = ComponentsBuilder::new()
        .security_scheme("access", cookie("accessToken"))
        .security_scheme("bearer", bearer());
    head(
        "DaPanDa chat",
        "Rooms, messages and read marks. Errors have a `code` beside the status; \
         live messages come over STOMP at `/conn`.",
        schemes,
    )
}

/// The head of the document for the market and operators.
pub(super) fn internal() -> OpenApi {
    let schemes = ComponentsBuilder::new().security_scheme("service", bearer());
    head(
        "DaPanDa chat, internal",
        "What the market and operators call. Never public.",
        schemes,
    )
}

fn head(title: &str, description: &str, schemes: ComponentsBuilder) -> OpenApi {
    let info = InfoBuilder::new()
        .title(title)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(format!("{description}\n\n{}", common_errors())));
    OpenApiBuilder::new()
        .info(info.build())
        .components(Some(schemes.build()))
        .build()
}

fn bearer() -> SecurityScheme {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT");
    SecurityScheme::Http(scheme.build())
}
