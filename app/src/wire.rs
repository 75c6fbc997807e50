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
        serde_json::from_str(text(&bytes)?)
    }
}

fn text(bytes: &Bytes) -> Result<&str, serde_json::Error> {
    std::str::from_utf8(bytes).map_err(serde_json::Error::custom)
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

/// Passes on the text of a [`Told`] as it is.
pub struct AsTold;

/// Answers that are not read before a page wants to.
pub type Telling = Post<AsTold>;

impl ContentType for AsTold {
    const CONTENT_TYPE: &'static str = JsonText::CONTENT_TYPE;
}

impl FormatType for AsTold {
    const FORMAT_TYPE: Format = Format::Text;
}

impl<T> Encodes<Told<T>> for AsTold {
    type Error = serde_json::Error;

    fn encode(told: &Told<T>) -> Result<Bytes, Self::Error> {
        Ok(Bytes::from(told.json.clone()))
    }
}

impl<T> Decodes<Told<T>> for AsTold {
    type Error = serde_json::Error;

    fn decode(bytes: Bytes) -> Result<Told<T>, Self::Error> {
        Ok(Told {
            json: text(&bytes)?.to_owned(),
            what: PhantomData,
        })
    }
}

#[cfg(test)]
#[cfg(feature = "ssr")]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_again_whichever_way_it_came() {
        let value = vec!["a \"quoted\" word".to_owned(), String::new()];
        let told = Told::new(&value).unwrap();
        let answer = AsTold::encode(&told).unwrap();
        assert_eq!(&*answer, serde_json::to_vec(&value).unwrap());
        let told: Told<Vec<String>> = AsTold::decode(answer).unwrap();
        assert_eq!(told.read(), Ok(value.clone()));
        let with_the_page = serde_json::to_string(&told).unwrap();
        let told: Told<Vec<String>> = serde_json::from_str(&with_the_page).unwrap();
        assert_eq!(told.read(), Ok(value));
    }

    #[test]
    fn text_of_another_kind_is_refused() {
        let told: Told<u8> = AsTold::decode(Bytes::from_static(b"\"one\"")).unwrap();
        assert_eq!(told.read(), Err(AppError::Refused(Problem::Internal)));
    }
}
