//! Whom a request speaks for. Dify believes any `user`; a user's own token must not.

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method};
use futures::{StreamExt, stream};
use reqwest::Url;
use serde_json::Value;
use shared::ids::{IdError, UserId};
use shared::problem::{FieldFault, Problem};
use shared::usage::TextAmount;

use super::address::Treatment;
use super::error::DifyError;
use crate::http::plumbing::body;

/// JSON that is read may be this large: texts are in it, files are not.
const JSON_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A request that is to go to Dify.
pub(super) struct Unbound {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Body,
}

/// Whom a request speaks for.
#[derive(Clone)]
pub(super) struct Speaker {
    pub id: UserId,
    /// The name as Dify knows it: there, blanks around it are part of it.
    pub dify_name: String,
}

impl Speaker {
    fn parse(name: &str) -> Result<Self, IdError> {
        Ok(Self {
            id: name.parse()?,
            dify_name: name.to_owned(),
        })
    }
}

impl From<&UserId> for Speaker {
    fn from(user: &UserId) -> Self {
        Self {
            id: user.clone(),
            dify_name: user.to_string(),
        }
    }
}

/// A request that is ready to go.
pub(super) struct Bound {
    pub request: reqwest::Request,
    /// Whom it speaks for, as far as that had to be looked at.
    pub speaker: Option<Speaker>,
    /// What the user says to the app.
    pub text: TextAmount,
}

impl Unbound {
    /// Sees to it that the request speaks for `user`, where one is bound to the caller: another one
    /// is refused, none is filled in. What needs no look inside is streamed as it comes.
    pub(super) async fn bind(
        mut self,
        user: Option<&UserId>,
        kind: Treatment,
    ) -> Result<Bound, DifyError> {
        let in_query = self.user_in_query(user)?;
        if let Some(user) = user
            && matches!(self.method, Method::GET | Method::HEAD)
        {
            if in_query.is_none() {
                self.url
                    .query_pairs_mut()
                    .append_pair("user", user.as_str());
            }
            // Nothing that Dify could take for another user.
            self.headers.remove(CONTENT_LENGTH);
            return self.ready(reqwest::Body::default(), Some(user.into()));
        }
        if matches!(kind, Treatment::Charged | Treatment::Resumed)
            || (user.is_some() && self.is_json())
        {
            return self.bind_json(user).await;
        }
        if let Some(user) = user {
            return self.bind_other(user).await;
        }
        let body = std::mem::take(&mut self.body);
        let body = if body.is_end_stream() {
            reqwest::Body::default()
        } else {
            reqwest::Body::wrap_stream(body.into_data_stream())
        };
        self.ready(body, in_query)
    }

    fn ready(self, body: reqwest::Body, speaker: Option<Speaker>) -> Result<Bound, DifyError> {
        let mut request = reqwest::Request::new(self.method, self.url);
        *request.headers_mut() = self.headers;
        *request.body_mut() = Some(body);
        Ok(Bound {
            request,
            speaker,
            text: TextAmount::default(),
        })
    }

    /// The `user` of the query, which must be that of the caller wherever it is given.
    fn user_in_query(&self, user: Option<&UserId>) -> Result<Option<Speaker>, DifyError> {
        let mut found = None;
        for (_, value) in self.url.query_pairs().filter(|(name, _)| name == "user") {
            if user.is_some_and(|user| user.as_str() != value) {
                return Err(Problem::OtherUser.into());
            }
            // Of several, Dify takes the first.
            found = found.or_else(|| Speaker::parse(&value).ok());
        }
        Ok(found)
    }

    fn media_type(&self) -> &str {
        let mut values = self.headers.get_all(CONTENT_TYPE).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().unwrap_or_default(),
            // Of several, nobody knows which one Dify goes by.
            _ => "",
        }
    }

    fn is_json(&self) -> bool {
        let essence = self.media_type().split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    }

    async fn read(&mut self) -> Result<Vec<u8>, DifyError> {
        let body = std::mem::take(&mut self.body);
        match body::read_up_to(body, JSON_BYTES_MAX).await {
            Ok(body) => Ok(body),
            Err(refused) => Err(refused.problem.into()),
        }
    }

    /// The body is passed on as it is; a `user` that is missing is written in front of the rest.
    async fn bind_json(mut self, user: Option<&UserId>) -> Result<Bound, DifyError> {
        let mut bytes = self.read().await?;
        let body = parse(&bytes)?;
        let named = match (body.get("user"), user) {
            (Some(Value::String(named)), Some(user)) if named == user.as_str() => user.into(),
            (Some(_), Some(_)) => return Err(Problem::OtherUser.into()),
            (None, Some(user)) => {
                bytes = with_user(&bytes, user)?;
                user.into()
            }
            (Some(Value::String(named)), None) => {
                Speaker::parse(named).map_err(|fault| Problem::field("user", fault))?
            }
            (Some(Value::Null) | None, None) => {
                return Err(Problem::field("user", FieldFault::Missing).into());
            }
            (Some(_), None) => return Err(Problem::field("user", FieldFault::NotText).into()),
        };
        let mut text = TextAmount::default();
        for name in ["query", "inputs"] {
            if let Some(value) = body.get(name) {
                text.add_all(value);
            }
        }
        self.headers
            .insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        let bound = self.ready(bytes.into(), Some(named))?;
        Ok(Bound { text, ..bound })
    }

    /// A form, or nothing.
    async fn bind_other(mut self, user: &UserId) -> Result<Bound, DifyError> {
        let Some(boundary) = boundary(self.media_type()) else {
            let bytes = self.read().await?;
            if !bytes.is_empty() {
                return Err(DifyError::NotBindable);
            }
            let body = with_user(b"{}", user)?;
            let json = HeaderValue::from_static("application/json");
            self.headers.insert(CONTENT_TYPE, json);
            self.headers
                .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            return self.ready(body.into(), Some(user.into()));
        };
        // Of several fields of one name Dify takes the first, so ours is put in front of the form,
        // and the files in it stream through. A second field takes up what may stand before the
        // form's own first boundary, which would otherwise belong to the user's name.
        let field = |name: &str, value: &str| {
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
        };
        let first = field("user", user.as_str()) + &field("tollgate", "");
        let length = self.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
        if let Some(length) = length {
            let length = HeaderValue::from(length + first.len());
            self.headers.insert(CONTENT_LENGTH, length);
        }
        let rest = std::mem::take(&mut self.body).into_data_stream();
        let first = stream::once(async move { Ok(Bytes::from(first)) });
        let body = reqwest::Body::wrap_stream(first.chain(rest));
        self.ready(body, Some(user.into()))
    }
}

fn parse(bytes: &[u8]) -> Result<serde_json::Map<String, Value>, DifyError> {
    let invalid = |detail: String| DifyError::from(Problem::InvalidJson { detail });
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(invalid("it must be an object".to_owned())),
        Err(error) => Err(invalid(error.to_string())),
    }
}

/// A JSON object with one field more, and otherwise as it was written.
fn with_user(object: &[u8], user: &UserId) -> Result<Vec<u8>, DifyError> {
    let text = object.trim_ascii();
    let rest = text.strip_prefix(b"{").unwrap_or(text).trim_ascii_start();
    let user = serde_json::to_string(user.as_str()).map_err(|_| Problem::Internal)?;
    let comma = if rest.starts_with(b"}") { "" } else { "," };
    let mut with = format!("{{\"user\":{user}{comma}").into_bytes();
    with.extend_from_slice(rest);
    Ok(with)
}

/// The boundary of a multipart form, if every parser finds the same one: a form that Dify would cut
/// elsewhere could bring a `user` of its own.
fn boundary(media_type: &str) -> Option<&str> {
    let mut parameters = media_type.split(';');
    let essence = parameters.next()?.trim();
    if !essence.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut boundary = None;
    for parameter in parameters {
        let (name, value) = parameter.trim().split_once('=')?;
        if name.eq_ignore_ascii_case("charset") {
            continue;
        }
        let quoted = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        let value = quoted.unwrap_or(value);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.'()+,/:=?".contains(&byte);
        if boundary.is_some()
            || !name.eq_ignore_ascii_case("boundary")
            || value.is_empty()
            || !value.bytes().all(is_plain)
        {
            return None;
        }
        boundary = Some(value);
    }
    boundary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_added_without_touching_the_others() {
        let user = "O\"Brien".parse().expect("a user");
        let with = |object: &str| {
            let bytes = with_user(object.as_bytes(), &user).expect("JSON");
            String::from_utf8(bytes).expect("UTF-8")
        };
        assert_eq!(with("{}"), r#"{"user":"O\"Brien"}"#);
        assert_eq!(with(" { } "), r#"{"user":"O\"Brien"}"#);
        assert_eq!(
            with(r#"{ "b": 1.0e2, "a":1 }"#),
            r#"{"user":"O\"Brien","b": 1.0e2, "a":1 }"#
        );
    }

    #[test]
    fn the_boundary_of_a_form_is_found() {
        assert_eq!(boundary("multipart/form-data; boundary=x"), Some("x"));
        assert_eq!(
            boundary("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\""),
            None,
            "a blank is not everywhere part of it"
        );
        assert_eq!(
            boundary("Multipart/Form-Data; charset=utf-8; Boundary=\"a-b\""),
            Some("a-b")
        );
        assert_eq!(boundary("multipart/form-data; boundary=\"a;b\""), None);
        assert_eq!(
            boundary("multipart/form-data; boundary=a; boundary=b"),
            None
        );
        assert_eq!(boundary("multipart/form-data; boundary*=utf-8''a"), None);
        assert_eq!(boundary("multipart/form-data"), None);
        assert_eq!(boundary("multipart/mixed; boundary=x"), None);
        assert_eq!(boundary("application/json"), None);
    }
}
