//! JSON for server functions, read the same way as the data that comes with a page. With Leptos'
//! own codec, which reads from bytes and not from text, the browser would carry the reading of
//! every type twice.

use std::marker::PhantomData;

use leptos::server_fn::Bytes;
use leptos::server_fn::codec::Post;
use leptos::server_fn::{ContentType, Decodes, Encodes, Format, FormatType};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Serialize};
use shared::problem::Problem;

use crate::AppError;

/// The encoding of arguments, answers and errors.
pub struct JsonText;

/// Arguments and answers as JSON in the body of a POST.
pub type Json = Post<JsonText>;

impl ContentType for JsonText {
    const CONTENT_TYPE: &'static str = "application/json";
}

impl FormatType for JsonText {
    const FORMAT_TYPE: Format = Format::Text;
}

impl<T: Serialize> Encodes<T> for JsonText {
    type Error = serde_json::Error;

    fn encode(value: &T) -> Result<Bytes, Self::Error> {
        serde_json::to_string(value).map(Bytes::from)
    }
}

impl<T: DeserializeOwned> Decodes<T> for JsonText {
    type Error = serde_json::Error;

    fn decode(bytes: Bytes) -> Result<T, Self::Error> {
        let text = std::str::from_utf8(&bytes).map_err(serde_json::Error::custom)?;
        serde_json::from_str(text)
    }
}

/// What a page was told, as the JSON text it came in. Only the page that asked reads it, so that
/// the code that reads it is loaded with that page (see [`crate::chunk`]).
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Told<T> {
    json: String,
    #[serde(skip)]
    what: PhantomData<fn() -> T>,
}

impl<T> Clone for Told<T> {
    fn clone(&self) -> Self {
        Self {
            json: self.json.clone(),
            what: PhantomData,
        }
    }
}

impl<T: Serialize> Told<T> {
    /// # Errors
    /// [`Problem::Internal`] for what JSON cannot write.
    #[cfg(feature = "ssr")]
    pub fn new(value: &T) -> Result<Self, AppError> {
        match serde_json::to_string(value) {
            Ok(json) => Ok(Self {
                json,
                what: PhantomData,
            }),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written as JSON: {error}");
                Err(AppError::from(Problem::Internal))
            }
        }
    }
}

impl<T: DeserializeOwned> Told<T> {
    /// # Errors
    /// [`Problem::Internal`] for text that is not the JSON of a `T`, as from a server of another
    /// version.
    pub fn read(&self) -> Result<T, AppError> {
        serde_json::from_str(&self.json).map_err(|_| AppError::Refused(Problem::Internal))
    }
}

#[cfg(test)]
#[cfg(feature = "ssr")]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_again() {
        let value = vec!["a \"quoted\" word".to_owned(), String::new()];
        let sent = JsonText::encode(&Told::new(&value).unwrap()).unwrap();
        let told: Told<Vec<String>> = JsonText::decode(sent).unwrap();
        assert_eq!(told.read(), Ok(value));
    }

    #[test]
    fn text_of_another_kind_is_refused() {
        let told: Told<u8> = JsonText::decode(Bytes::from_static(b"\"\\\"one\\\"\"")).unwrap();
        assert_eq!(told.read(), Err(AppError::Refused(Problem::Internal)));
    }
}
