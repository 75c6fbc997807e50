//! The process itself.

use utoipa::openapi::{ObjectBuilder, Type};

use super::endpoint::EndpointDoc;

pub const TAG: &str = "process";

pub fn endpoints() -> [EndpointDoc; 3] {
    [
        EndpointDoc::get("/healthz", "isAlive", "Whether the process runs")
            .tag(TAG)
            .answers_text(200, "It runs", "text/plain"),
        EndpointDoc::get("/readyz", "isReady", "Whether it can do its work")
            .tag(TAG)
            .answers_text(200, "It can", "text/plain")
            .answers_text(503, "Postgres does not answer", "text/plain"),
        EndpointDoc::get("/openapi.json", "getDocument", "This document")
            .tag(TAG)
            .answers_json(
                200,
                "The document",
                ObjectBuilder::new().schema_type(Type::Object),
            ),
    ]
}
