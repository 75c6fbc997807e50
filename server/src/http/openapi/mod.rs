//! `GET /openapi.json`: the API as an OpenAPI document, made of the types of its requests and
//! answers. `docs/openapi.json` is a copy.

mod admin;
mod dify;
mod endpoint;
mod process;
mod schemas;
mod user;

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use shared::api::Failure;
use utoipa::ToSchema;
use utoipa::openapi::path::PathsBuilder;
use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Content, HeaderBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref,
    Response as Refusal, ResponseBuilder, Type,
};

use endpoint::{API_KEY, BEARER, EndpointDoc, SESSION, refusal_name};

const ABOUT: &str = "Answers are `{\"success\":true,\"message\":…,\"data\":…}`, refusals \
    `{\"success\":false,\"message\":…,\"error\":{\"code\":…,\"field\":…}}`. Fields and parameters \
    that nobody knows are refused. Points come as decimal numbers and, in a field of the same name \
    with `Nano`, exactly.";

/// Statuses of refusals, with the codes that come with them.
const REFUSALS: [(u16, &str); 10] = [
    (
        400,
        "`invalid_json`: the body is not JSON, or not an object",
    ),
    (
        401,
        "`missing_key`, `invalid_key`, `sign_in_required`; of a signed webhook `missing_signature`, \
         `invalid_signature`, `stale_timestamp`",
    ),
    (403, "`wrong_scope`, `other_user`, `cross_site`"),
    (
        404,
        "`not_found`: no such address, or nothing under this id",
    ),
    (
        409,
        "`message_conflict`: the message was delivered before, with other numbers; `outdated`: \
         meanwhile something else has happened to it; `idempotency_key_reused`: the key was used \
         before, for another request",
    ),
    (413, "`payload_too_large`"),
    (
        422,
        "`invalid_field`, `model_not_priced`, `price_inactive`: `field` is the path of the field at \
         fault, such as `data.input_tokens` or `prices.0.modelName`",
    ),
    (429, "`rate_limited`"),
    (500, "`internal`"),
    (503, "`busy`: nothing was recorded"),
];

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    // Cannot fail: all keys of maps are texts.
    document().to_pretty_json().unwrap_or_default()
});

/// Answers with the document.
pub async fn show() -> Response {
    let json = [(CONTENT_TYPE, "application/json")];
    (json, DOCUMENT.as_str()).into_response()
}

/// The document.
pub fn document() -> OpenApi {
    let (name, schema) = (
        Failure::name(),
        <Failure as utoipa::PartialSchema>::schema(),
    );
    let mut schemas = vec![(name.into_owned(), schema)];
    Failure::schemas(&mut schemas);
    let mut paths = PathsBuilder::new();
    for mut endpoint in endpoints() {
        schemas.append(&mut endpoint.schemas);
        paths = paths.path(endpoint.path, endpoint.path_item());
    }
    let mut components = ComponentsBuilder::new().schemas_from_iter(schemas);
    for (status, codes) in REFUSALS {
        components = components.response(refusal_name(status), refusal(status, codes));
    }
    for (name, scheme) in security_schemes() {
        components = components.security_scheme(name, scheme);
    }
    let about = InfoBuilder::new()
        .title("Tollgate")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT));
    OpenApiBuilder::new()
        .info(about)
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(tags().map(|(name, about)| {
            TagBuilder::new()
                .name(name)
                .description(Some(about))
                .build()
        })))
        .build()
}

fn endpoints() -> impl Iterator<Item = EndpointDoc> {
    dify::endpoints()
        .into_iter()
        .chain(user::endpoints())
        .chain(admin::endpoints())
        .chain(process::endpoints())
}

const fn tags() -> [(&'static str, &'static str); 4] {
    [
        (
            dify::TAG,
            "Reports of what messages used, and what Dify asks.",
        ),
        (
            user::TAG,
            "For a user, or a key of scope `points` or an administrator with `userId`.",
        ),
        (
            admin::TAG,
            "For a key of scope `admin`, or an administrator who has signed in. Changes are in the \
             audit log.",
        ),
        (process::TAG, "The process itself."),
    ]
}

fn refusal(status: u16, codes: &str) -> Refusal {
    let failure = Content::new(Some(Ref::from_schema_name(Failure::name())));
    let response = ResponseBuilder::new()
        .description(codes)
        .content("application/json", failure);
    let (header, about, kind) = match status {
        401 => ("WWW-Authenticate", "`Bearer`", Type::String),
        429 | 503 => ("Retry-After", "Seconds to wait", Type::Integer),
        _ => return response.build(),
    };
    let header_schema = ObjectBuilder::new().schema_type(kind);
    let value = HeaderBuilder::new()
        .description(Some(about))
        .schema(header_schema);
    response.header(header, value.build()).build()
}

fn security_schemes() -> [(&'static str, SecurityScheme); 3] {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key, or a user token."));
    let key = ApiKeyValue::with_description("X-API-Key", "A key.");
    let session = ApiKeyValue::with_description(
        access::COOKIE_NAME,
        "The session of somebody who has signed in, from Tollgate's own pages only.",
    );
    [
        (BEARER, SecurityScheme::Http(bearer.build())),
        (API_KEY, SecurityScheme::ApiKey(ApiKey::Header(key))),
        (SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(session))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let json = document.to_json().expect("a document");
        let components = document.components.expect("components");
        for reference in json.split("\"$ref\":\"#/components/").skip(1) {
            let name = reference.split('"').next().unwrap_or_default();
            let is_known = match name.split_once('/') {
                Some(("schemas", name)) => components.schemas.contains_key(name),
                Some(("responses", name)) => components.responses.contains_key(name),
                _ => false,
            };
            assert!(is_known, "{name}");
        }
    }
}
