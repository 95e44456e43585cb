//! The description of the API, for programs (OpenAPI 3.1) and for people. Feature `openapi`.

mod beyond_types;
mod calls;
mod page;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use utoipa::openapi::{
    ComponentsBuilder, Content, Info, OpenApi, OpenApiBuilder, PathItem, Paths, Ref,
    ResponseBuilder, SecurityRequirement, Tag,
    path::{HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    schema::{ObjectBuilder, Type},
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use warp::reply::Response;

use self::calls::{Call, TAGS, calls};
use crate::{
    ERRORS, HttpSettings,
    error::ErrorKind,
    prefix::PathPrefix,
    reply,
    wire::{Exception, Failure},
};

const JSON: &str = "application/json";
const BEARER: &str = "bearer";

/// Both forms of the description, made once.
pub(crate) struct Documentation {
    json: Bytes,
    page: Bytes,
}

impl Documentation {
    pub(crate) fn new(settings: &HttpSettings, prefix: &PathPrefix) -> Self {
        let document = document_at(prefix, settings);
        Self {
            page: page::render(&document),
            json: document.to_string().into(),
        }
    }

    pub(crate) fn json(&self) -> Response {
        reply::api_answer(StatusCode::OK, Response::new(self.json.clone().into()))
    }

    pub(crate) fn page(&self) -> Response {
        crate::page::html(self.page.clone())
    }
}

/// The description as a JSON document. The member `x-errors` lists all errors.
#[must_use]
pub fn document(settings: &HttpSettings) -> Value {
    document_at(&PathPrefix::default(), settings)
}

/// The same for routes that are mounted under a prefix, which `servers` tells.
#[must_use]
pub fn document_at(prefix: &PathPrefix, settings: &HttpSettings) -> Value {
    // Serializing what was just built can't fail.
    let mut document = serde_json::to_value(open_api(settings)).unwrap_or_default();
    let codes: Vec<&str> = ERRORS.iter().map(|kind| kind.code).collect();
    beyond_types::complete(&mut document);
    document["components"]["schemas"]["Failure"]["properties"]["code"]["enum"] = json!(codes);
    let errors = ERRORS
        .iter()
        .map(|kind| json!({"code": kind.code, "status": kind.status, "meaning": kind.meaning}));
    document["x-errors"] = errors.collect();
    if *prefix != PathPrefix::default() {
        document["servers"] = json!([{"url": prefix.as_str()}]);
    }
    document
}

fn open_api(settings: &HttpSettings) -> OpenApi {
    let mut info = Info::new("Pinyto", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        include_str!("introduction.md")
            .replace("{max_body_bytes}", &settings.max_body_bytes.to_string())
            .replace(
                "{body_timeout}",
                &settings.body_timeout.as_secs_f64().to_string(),
            )
            .replace("{allowed_origins}", &settings.allowed_origins.described()),
    );
    let mut components = ComponentsBuilder::new()
        .schema_from::<Failure<'_>>()
        .schema_from::<Exception>()
        .security_scheme(
            BEARER,
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some(
                        "The request token, instead of the field `token` of the body, which wins.",
                    ))
                    .build(),
            ),
        );
    let mut paths = Paths::new();
    for call in calls() {
        for register in &call.schemas {
            components = register(components);
        }
        let method = if call.is_read {
            HttpMethod::Get
        } else {
            HttpMethod::Post
        };
        let item = PathItem::new(method, operation(&call));
        paths.paths.insert(call.path.to_owned(), item);
    }
    let tags = TAGS.iter().map(|(name, description)| {
        let mut tag = Tag::new(*name);
        tag.description = Some((*description).to_owned());
        tag
    });
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .tags(Some(tags))
        .components(Some(components.build()))
        .build()
}

fn operation(call: &Call) -> Operation {
    let mut operation = OperationBuilder::new()
        .tag(call.tag)
        .operation_id(Some(call.operation_id()))
        .summary(Some(call.summary))
        .response("200", success(call));
    if !call.details.is_empty() {
        operation = operation.description(Some(call.details));
    }
    for segment in call.path.split('/') {
        if let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            operation = operation.parameter(parameter(name));
        }
    }
    if let Some(schema) = &call.request {
        let body = RequestBodyBuilder::new()
            .content(JSON, Content::new(Some(Ref::from_schema_name(schema))))
            .required(Some(utoipa::openapi::Required::True))
            .build();
        operation = operation.request_body(Some(body));
    }
    if call.needs_session {
        operation = operation
            .security(SecurityRequirement::new(BEARER, [""; 0]))
            .security(SecurityRequirement::default());
    }
    let mut statuses: Vec<u16> = call.errors().map(|kind| kind.status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let kinds = call.errors().filter(|kind| kind.status == status);
        operation = operation.response(status.to_string(), failure(kinds));
    }
    operation.build()
}

fn parameter(name: &str) -> Parameter {
    let meaning = match name {
        "author" => "The user name of the assembly's author.",
        "assembly" => "The assembly's name.",
        _ => "The function's name.",
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(utoipa::openapi::Required::True)
        .description(Some(meaning))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn success(call: &Call) -> utoipa::openapi::Response {
    let answer = ResponseBuilder::new().description(call.answer_meaning);
    match &call.answer {
        Some(schema) => answer.content(call.answer_type, Content::new(Some(schema.clone()))),
        None => answer.content(call.answer_type, Content::default()),
    }
    .build()
}

fn failure<'a>(kinds: impl Iterator<Item = &'a ErrorKind>) -> utoipa::openapi::Response {
    let lines: Vec<String> = kinds
        .map(|kind| format!("`{}`: {}", kind.code, kind.meaning))
        .collect();
    let schema = Ref::from_schema_name("Failure");
    ResponseBuilder::new()
        .description(lines.join("\n"))
        .content(JSON, Content::new(Some(schema)))
        .build()
}
