//! The schemas of values that are written otherwise than they are kept.

use std::borrow::Cow;

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::clock::Timestamp;
use crate::ids::{ID_CHARS_MAX, ModelName, UserId};
use crate::money::{Nano, Points, UnitPrice};

macro_rules! schema {
    ($($type:ident: $schema:expr;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                stringify!($type).into()
            }
        }
    )*};
}

schema! {
    Points: points();
    Nano: ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^-?[0-9]+$"))
        .description(Some("The exact number of nanopoints (10⁻⁹ point)."));
    UnitPrice: ObjectBuilder::new()
        .schema_type(Type::Number)
        .description(Some("Points per 1,000 tokens, with up to six decimals."));
    Timestamp: ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("RFC 3339, with any offset; answered in UTC."));
    UserId: id().description(Some("An end user, by the name the operator's own system gives them."));
    ModelName: id().description(Some("A model's name, in any letter case."));
}

fn points() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Number)
        .description(Some("Points, with up to nine decimals."))
}

fn id() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(ID_CHARS_MAX.into()))
}

/// Points in a request: a number, or text that no digit is lost of on the way.
pub fn written_points() -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(
        r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$",
    ));
    OneOfBuilder::new().item(points()).item(text).into()
}
