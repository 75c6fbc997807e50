//! Schemas that are made of others.

use serde_json::json;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

/// `{"success":true,"message":…,"data":…}`
pub fn enveloped(data: impl Into<RefOr<Schema>>) -> ObjectBuilder {
    let success = ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .enum_values(Some([json!(true)]));
    let message = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("In the language of `Accept-Language`."));
    ObjectBuilder::new()
        .property("success", success)
        .property("message", message)
        .property("data", data)
        .required("success")
        .required("message")
        .required("data")
}

/// The schema of a parameter, which is absent rather than null, and what it is about.
pub fn of_parameter(schema: RefOr<Schema>) -> (RefOr<Schema>, Option<String>) {
    let is_null = |item: &RefOr<Schema>| match item {
        RefOr::T(Schema::Object(object)) => object.schema_type == SchemaType::new(Type::Null),
        RefOr::T(_) | RefOr::Ref(_) => false,
    };
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            if let SchemaType::Array(types) = &object.schema_type
                && let Some(kind) = types.iter().find(|kind| **kind != Type::Null)
            {
                object.schema_type = SchemaType::new(kind.clone());
            }
            let description = object.description.take();
            (RefOr::T(Schema::Object(object)), description)
        }
        RefOr::T(Schema::OneOf(mut either)) => {
            either.items.retain(|item| !is_null(item));
            match either.items.pop() {
                Some(only) if either.items.is_empty() => of_parameter(only),
                last => {
                    either.items.extend(last);
                    (RefOr::T(Schema::OneOf(either)), None)
                }
            }
        }
        RefOr::Ref(mut reference) => {
            let description = std::mem::take(&mut reference.description);
            let description = Some(description).filter(|text| !text.is_empty());
            (RefOr::Ref(reference), description)
        }
        schema @ RefOr::T(_) => (schema, None),
    }
}

/// `{"items":[…],"nextCursor":…}`
pub fn page(item: RefOr<Schema>) -> ObjectBuilder {
    let cursor = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some("Of the next page; null on the last one."));
    ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(item))
        .property("nextCursor", cursor)
        .required("items")
        .required("nextCursor")
}
