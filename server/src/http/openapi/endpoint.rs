//! One endpoint of the document: what it takes and what it answers, from the types of both.

use utoipa::ToSchema;

use super::schemas::{enveloped, of_parameter, page};
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    Content, HttpMethod, PathItem, Ref, RefOr, Required, ResponseBuilder, Schema,
};

/// Schemes that requests prove themselves with.
pub const BEARER: &str = "bearer";
pub const API_KEY: &str = "apiKey";
pub const SESSION: &str = "session";

/// Schemas by the names that they are referred to by.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

pub struct EndpointDoc {
    pub path: &'static str,
    method: HttpMethod,
    operation: OperationBuilder,
    /// Statuses of refusals, each once.
    refusals: Vec<u16>,
    pub schemas: Schemas,
}

impl EndpointDoc {
    /// `id` is what generated clients call it.
    pub fn get(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Get, path, id, summary)
    }

    pub fn post(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Post, path, id, summary)
    }

    pub fn put(path: &'static str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Put, path, id, summary)
    }

    fn new(method: HttpMethod, path: &'static str, id: &str, summary: &str) -> Self {
        Self {
            path,
            method,
            operation: OperationBuilder::new()
                .operation_id(Some(id))
                .summary(Some(summary)),
            refusals: Vec::new(),
            schemas: Schemas::new(),
        }
    }

    fn operation(mut self, change: impl FnOnce(OperationBuilder) -> OperationBuilder) -> Self {
        self.operation = change(self.operation);
        self
    }

    pub fn tag(self, tag: &str) -> Self {
        self.operation(|operation| operation.tag(tag))
    }

    pub fn about(self, description: &str) -> Self {
        self.operation(|operation| operation.description(Some(description)))
    }

    /// Whoever asks needs a key, or one of `others`.
    pub fn needs_key(self, others: &[&str]) -> Self {
        let schemes = [BEARER, API_KEY].iter().chain(others);
        let requirements: Vec<_> = schemes
            .map(|scheme| SecurityRequirement::new(*scheme, Vec::<String>::new()))
            .collect();
        self.operation(|operation| operation.securities(Some(requirements)))
            .refuses(&[401, 403, 500, 503])
    }

    /// A part of the path.
    pub fn id(self, name: &str, description: &str) -> Self {
        let text = ObjectBuilder::new().schema_type(Type::String);
        self.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some(description))
                .schema(Some(text)),
        )
        .refuses(&[404])
    }

    /// The sender may repeat the request.
    pub fn repeatable(self) -> Self {
        let key = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(255));
        self.parameter(
            ParameterBuilder::new()
                .name("Idempotency-Key")
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "The same key and request again get the first answer again.",
                ))
                .schema(Some(key)),
        )
        .refuses(&[409, 422])
    }

    pub fn header(self, name: &str, description: &str) -> Self {
        let text = ObjectBuilder::new().schema_type(Type::String);
        self.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(description))
                .schema(Some(text)),
        )
    }

    /// A parameter for each field of `T`.
    pub fn query<T: ToSchema>(mut self) -> Self {
        T::schemas(&mut self.schemas);
        let RefOr::T(Schema::Object(fields)) = T::schema() else {
            return self;
        };
        let mut endpoint = self;
        for (name, schema) in fields.properties {
            let required = match fields.required.contains(&name) {
                true => Required::True,
                false => Required::False,
            };
            let (schema, description) = of_parameter(schema);
            endpoint = endpoint.parameter(
                ParameterBuilder::new()
                    .name(name)
                    .parameter_in(ParameterIn::Query)
                    .required(required)
                    .description(description)
                    .schema(Some(schema)),
            );
        }
        // A query whose escapes are no text is no address.
        endpoint.refuses(&[404, 422])
    }

    fn parameter(self, parameter: ParameterBuilder) -> Self {
        self.operation(|operation| operation.parameter(parameter))
    }

    pub fn body<T: ToSchema>(mut self) -> Self {
        let schema = self.refer::<T>();
        self.json_body(schema, Required::True)
    }

    /// An empty body will do, too.
    pub fn optional_body<T: ToSchema>(mut self) -> Self {
        let schema = self.refer::<T>();
        self.json_body(schema, Required::False)
    }

    /// One of two forms.
    pub fn body_either<A: ToSchema, B: ToSchema>(mut self) -> Self {
        let schema = self.either::<A, B>();
        self.json_body(schema, Required::True)
    }

    /// A list of bodies of either form, as the field `name`.
    pub fn body_list_of_either<A: ToSchema, B: ToSchema>(mut self, name: &str, max: u32) -> Self {
        let list = ArrayBuilder::new()
            .items(self.either::<A, B>())
            .min_items(Some(1))
            .max_items(usize::try_from(max).ok());
        let schema = ObjectBuilder::new().property(name, list).required(name);
        self.json_body(RefOr::T(schema.into()), Required::True)
    }

    fn either<A: ToSchema, B: ToSchema>(&mut self) -> RefOr<Schema> {
        let either = OneOfBuilder::new()
            .item(self.refer::<A>())
            .item(self.refer::<B>());
        RefOr::T(either.into())
    }

    fn json_body(self, schema: RefOr<Schema>, required: Required) -> Self {
        let body = RequestBodyBuilder::new()
            .required(Some(required))
            .content("application/json", Content::new(Some(schema)))
            .build();
        self.operation(|operation| operation.request_body(Some(body)))
            .refuses(&[400, 413, 422])
    }

    /// An answer with `T` as its data.
    pub fn answers<T: ToSchema>(mut self, status: u16, description: &str) -> Self {
        let schema = self.refer::<T>();
        self.answers_json(status, description, enveloped(schema))
    }

    /// An answer with a list of `T` as its data.
    pub fn answers_list<T: ToSchema>(mut self, description: &str) -> Self {
        let list = ArrayBuilder::new().items(self.refer::<T>());
        self.answers_json(200, description, enveloped(list))
    }

    /// An answer with a page of `T` as its data.
    pub fn answers_page<T: ToSchema>(mut self, description: &str) -> Self {
        let page = page(self.refer::<T>());
        self.answers_json(200, description, enveloped(page))
    }

    /// An answer that is `A` or `B`, in a shape that another program expects.
    pub fn answers_either<A: ToSchema, B: ToSchema>(mut self, description: &str) -> Self {
        let schema = self.either::<A, B>();
        self.answers_json(200, description, schema)
    }

    pub fn answers_json(
        self,
        status: u16,
        description: &str,
        schema: impl Into<RefOr<Schema>>,
    ) -> Self {
        self.answers_content(status, description, "application/json", schema)
    }

    /// An answer that is no JSON.
    pub fn answers_text(self, status: u16, description: &str, media_type: &str) -> Self {
        let text = ObjectBuilder::new().schema_type(Type::String);
        self.answers_content(status, description, media_type, text)
    }

    fn answers_content(
        self,
        status: u16,
        description: &str,
        media_type: &str,
        schema: impl Into<RefOr<Schema>>,
    ) -> Self {
        let response = ResponseBuilder::new()
            .description(description)
            .content(media_type, Content::new(Some(schema)));
        self.operation(|operation| operation.response(status.to_string(), response))
    }

    /// It may be refused with these statuses.
    pub fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// Refers to `T`, and keeps what it is.
    pub fn refer<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        let name = T::name().into_owned();
        let reference = Ref::from_schema_name(&name);
        self.schemas.push((name, T::schema()));
        RefOr::Ref(reference)
    }

    pub fn path_item(mut self) -> PathItem {
        self.refusals.sort_unstable();
        self.refusals.dedup();
        let mut operation = self.operation;
        for status in self.refusals {
            let refusal = Ref::from_response_name(refusal_name(status));
            operation = operation.response(status.to_string(), refusal);
        }
        PathItem::new(self.method, operation)
    }
}

/// What the document calls the refusals with a status.
pub fn refusal_name(status: u16) -> String {
    format!("Refusal{status}")
}
