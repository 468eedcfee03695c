//! The OpenAPI documents, and the Swagger UI page of the public one.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem,
    Ref,
};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use shared::web::{ACCESS_COOKIE, ErrorBody, common_errors, guarded};

use super::BODY_BYTES_MAX;

/// Path of the page.
const PAGE: &str = "/docs";

/// Path of the page's document.
const DOCUMENT: &str = "/docs/openapi.json";

/// Content security policy: the page's own files only. Inline styles are allowed, since its script writes
/// them.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     frame-ancestors 'none'",
);

/// The OpenAPI document of these routes, as served.
#[must_use]
pub fn document(routes: OpenApiRouter) -> OpenApi {
    complete(routes.into_openapi())
}

/// Routes of the page and the document; all files are embedded in the binary.
pub(super) fn page(document: OpenApi) -> Router {
    let page: Router = SwaggerUi::new(PAGE).url(DOCUMENT, document).into();
    guarded(page, BODY_BYTES_MAX).layer(from_fn(keep_to_itself))
}

async fn keep_to_itself(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// Adds the document's head, and to every operation the responses of the layers around the routes.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    let cookie = |name| SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(name)));
    let head = head(
        "DaPanDa market",
        "Members, offers, trades and payments. Errors have a `code` beside the status.",
        ComponentsBuilder::new()
            .security_scheme("access", cookie(ACCESS_COOKIE))
            .security_scheme("bearer", bearer()),
    );
    document.info = head.info;
    let schemes = head.components.unwrap_or_default().security_schemes;
    let components = document.components.get_or_insert_with(Components::new);
    components.security_schemes.extend(schemes);
    let name = ErrorBody::name().into_owned();
    components.schemas.insert(name, ErrorBody::schema());
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            add_common_answers(operation);
        }
    }
    document
}

/// The head of the document for operators.
#[must_use]
pub fn internal_document() -> OpenApi {
    head(
        "DaPanDa market, internal",
        "What operators call. Never public.",
        ComponentsBuilder::new(),
    )
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .filter_map(Option::as_mut)
}

/// Adds 429 to every operation; 401, 403 and 503 where a login is needed; 413 where there is a body. The
/// head describes the responses that any path may give.
fn add_common_answers(operation: &mut Operation) {
    let mut answers = vec![("429", "Too many requests (1009).")];
    if operation.security.is_some() {
        answers.push(("503", "Temporarily unavailable (1010) or busy (5006)."));
        answers.push((
            "401",
            "No login (2014), or an invalid or expired one (2007).",
        ));
        answers.push((
            "403",
            "The member is blocked (2012), or not allowed (1003).",
        ));
    }
    if operation.request_body.is_some() {
        answers.push(("413", "Request body too large (1008)."));
    }
    for (status, description) in answers {
        let schema = Ref::from_schema_name(ErrorBody::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/json", content)
            .build();
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| response.into());
    }
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
