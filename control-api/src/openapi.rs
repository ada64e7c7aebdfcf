//! The OpenAPI document, collected from the operations themselves, and the page that shows it.

use axum::Router;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{HeaderBuilder, RefOr, Response};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::SwaggerUi;

use crate::caller::API_KEY_HEADER;
use crate::idempotency;
use crate::problem::{CONTENT_TYPE, FieldError, Problem};

/// Where the document is.
const PATH: &str = "/api/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rollcall",
        description = "Cameras at the door, attendance in PostgreSQL.\n\n\
            Errors are RFC 9457 problem details. Lists come in pages: give `next_cursor` back as `cursor`. What has \
            an ETag or a `version` is changed with it as If-Match. A POST may carry an Idempotency-Key: sent twice, it is \
            done once and answered twice. Times are UTC (RFC 3339).",
        license(name = "Apache-2.0 OR MIT"),
    ),
    components(schemas(Problem, FieldError)),
    modifiers(&Security),
)]
struct Head;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("Access token of a login")).build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        let key = ApiKeyValue::with_description(API_KEY_HEADER, "Key of a machine");
        components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(key)));
    }
}

/// The document without operations.
pub(crate) fn head() -> utoipa::openapi::OpenApi {
    let mut document = Head::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document
}

/// The whole document.
pub fn document() -> utoipa::openapi::OpenApi {
    complete(crate::operations().into_openapi())
}

/// What is the same for all operations: each has a name of its own, after its method and path; If-Match has one form; a POST
/// takes an Idempotency-Key; answers have the same headers; a form has no other fields than its own.
fn complete(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let schemas = document.components.iter_mut().flat_map(|components| &mut components.schemas);
    for (_, schema) in schemas.filter(|(name, _)| name.ends_with("Form")) {
        if let RefOr::T(Schema::Object(form)) = schema {
            form.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
    for (path, item) in &mut document.paths.paths {
        let methods = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        let is_versioned = methods.iter().flat_map(|(_, operation)| operation.iter()).any(takes_if_match);
        for (method, operation) in methods {
            let Some(operation) = operation else { continue };
            let words = path.trim_start_matches("/api/v1").split(|c: char| !c.is_ascii_alphanumeric());
            let words: Vec<_> = std::iter::once(method).chain(words.filter(|word| !word.is_empty())).collect();
            operation.operation_id = Some(words.join("_"));
            // The clients of CompreFace know no such header, nor what is answered to it.
            let is_foreign = operation.tags.iter().flatten().any(|tag| tag == "compreface");
            if method == "post" && !is_foreign && !idempotency::is_anew(path) {
                operation.parameters.get_or_insert_default().push(RefOr::T(idempotency::parameter()));
            }
            add_headers(operation, is_versioned, is_foreign);
            let parameters = operation.parameters.iter_mut().flatten();
            for parameter in parameters {
                let RefOr::T(parameter) = parameter else { continue };
                if !is_if_match(parameter) {
                    continue;
                }
                let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(200)).examples(["*"]);
                parameter.schema = Some(text.into());
            }
        }
    }
    document
}

fn takes_if_match(operation: &Operation) -> bool {
    let mut parameters = operation.parameters.iter().flatten();
    parameters.any(|parameter| matches!(parameter, RefOr::T(parameter) if is_if_match(parameter)))
}

fn is_if_match(parameter: &Parameter) -> bool {
    parameter.name.eq_ignore_ascii_case("if-match")
}

/// What answers say beside their bodies: when to try again, where the new thing is, which version it has.
fn add_headers(operation: &mut Operation, is_versioned: bool, is_foreign: bool) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        match status.as_str() {
            "429" | "503" if response.content.contains_key(CONTENT_TYPE) => {
                add_header(response, "Retry-After", Type::Integer, "Seconds after which to try again");
            }
            "201" if !is_foreign => {
                add_header(response, "Location", Type::String, "Path of what was made");
                add_header(response, "ETag", Type::String, "Its version for If-Match, if it has any");
            }
            "200" if is_versioned => {
                add_header(response, "ETag", Type::String, "The version for If-Match, if it has any");
            }
            _ => {}
        }
    }
}

fn add_header(response: &mut Response, name: &str, kind: Type, description: &str) {
    let schema = ObjectBuilder::new().schema_type(kind);
    let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
    response.headers.insert(name.to_owned(), RefOr::T(header));
}

pub(crate) fn router(document: utoipa::openapi::OpenApi) -> Router {
    Router::new().merge(SwaggerUi::new("/docs").url(PATH, complete(document)))
}
