//! What a request to the gateway is about.

use axum::http::Method;
use percent_encoding::percent_decode_str;

/// How a request is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Runs models: checked and held for before, charged after.
    Charged,
    /// Tells how a run goes on that was paused: charged after.
    Continued,
    /// Makes a run go on that was paused: checked before, and the run is charged.
    Resumed,
    /// Costs nothing that Dify would tell.
    Passed,
}

/// An address under `/v1` or `/apps/{app}/v1`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address<'a> {
    pub app: Option<String>,
    /// What follows `/v1`, as it was sent.
    pub rest: &'a str,
    /// The same as Dify understands it: it decodes a path before it looks what it means, so that
    /// `chat%2Dmessages` is `chat-messages`, and passes over empty parts.
    parts: Vec<String>,
}

impl<'a> Address<'a> {
    /// `None` for what leads out of `/v1`, or is not text.
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let (app, rest) = match path.strip_prefix("/apps/") {
            Some(path) => {
                let (app, rest) = path.split_once('/')?;
                (Some(decoded(app)?), rest.strip_prefix("v1")?)
            }
            None => (None, path.strip_prefix("/v1")?),
        };
        let parts: Vec<String> = decoded(rest)?
            .split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        let leads_out = |part: &String| matches!(part.as_str(), "." | "..") || part.contains('\\');
        (!parts.iter().any(leads_out)).then_some(Self { app, rest, parts })
    }

    fn parts(&self) -> Vec<&str> {
        self.parts.iter().map(String::as_str).collect()
    }

    pub(super) fn kind(&self, method: &Method) -> Treatment {
        match (method, self.parts().as_slice()) {
            (
                &Method::POST,
                ["chat-messages" | "completion-messages"]
                | ["workflows", "run"]
                | ["workflows", _, "run"],
            ) => Treatment::Charged,
            (&Method::GET, ["workflow", _, "events"]) => Treatment::Continued,
            (&Method::POST, ["form", "human_input", _]) => Treatment::Resumed,
            _ => Treatment::Passed,
        }
    }

    /// The last part: of a form's address its token.
    pub(super) fn last_part(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }

    /// Whether Dify shows or changes nothing there but what belongs to the `user` of the request, or
    /// to the app as everybody sees it. The rest (logs of all users, annotations, data sets) is for
    /// the operator's back end, which has an app key.
    pub(super) fn is_scoped_by_user(&self, method: &Method) -> bool {
        match self.parts().as_slice() {
            ["workflows", "run"] | ["workflows", _, "run"] => *method == Method::POST,
            [
                "chat-messages" | "completion-messages" | "messages" | "conversations" | "files",
                ..,
            ]
            | ["workflows", "tasks", _, "stop"]
            | ["workflow", _, "events"]
            | ["audio-to-text" | "text-to-audio"]
            | ["form", "human_input", _] => true,
            [] | ["parameters" | "info" | "meta" | "site"] => *method == Method::GET,
            _ => false,
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    let text = percent_decode_str(text).decode_utf8().ok()?;
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(method: &Method, path: &str) -> Option<Treatment> {
        Address::parse(path).map(|address| address.kind(method))
    }

    #[test]
    fn what_runs_models_is_charged_however_it_is_spelt() {
        for path in [
            "/v1/chat-messages",
            "/v1/completion-messages",
            "/v1/workflows/run",
            "/v1/workflows/7c3e33d4/run",
            "/v1/chat%2Dmessages",
            "/v1//chat-messages/",
            "/v1/workflows%2Frun",
            "/apps/shop/v1/chat-messages",
        ] {
            assert_eq!(
                kind(&Method::POST, path),
                Some(Treatment::Charged),
                "{path}"
            );
        }
        for path in [
            "/v1/chat-messages/task/stop",
            "/v1/messages/1/feedbacks",
            "/v1/files/upload",
            "/v1/workflows/tasks/1/stop",
            "/v1",
        ] {
            assert_eq!(kind(&Method::POST, path), Some(Treatment::Passed), "{path}");
        }
        assert_eq!(
            kind(&Method::GET, "/v1/workflow/run/events"),
            Some(Treatment::Continued)
        );
        assert_eq!(
            kind(&Method::GET, "/v1/chat-messages"),
            Some(Treatment::Passed)
        );
        let form = "/v1/form//human%5Finput/a%2Db/";
        assert_eq!(kind(&Method::POST, form), Some(Treatment::Resumed));
        assert_eq!(kind(&Method::GET, form), Some(Treatment::Passed));
        let form = Address::parse(form).expect("an address");
        assert_eq!(form.last_part(), "a-b");
    }

    #[test]
    fn no_address_leads_out() {
        for path in [
            "/v1/../console/api/apps",
            "/v1/%2e%2e/console/api/apps",
            "/v1/x/%2E%2E%2f..%2fconsole",
            "/v1/..\\console",
            "/v1/%ff",
            "/apps/shop/console",
            "/apps/shop",
        ] {
            assert_eq!(kind(&Method::GET, path), None, "{path}");
        }
    }

    #[test]
    fn an_app_is_named_by_the_address() {
        let address = Address::parse("/apps/my%20shop/v1/files/a%2Fb?").expect("an address");
        assert_eq!(address.app.as_deref(), Some("my shop"));
        assert_eq!(address.rest, "/files/a%2Fb?");
    }

    #[test]
    fn a_user_reaches_nothing_of_others() {
        let opens = |method: &Method, path: &str| {
            Address::parse(path).is_some_and(|address| address.is_scoped_by_user(method))
        };
        for (method, path) in [
            (Method::POST, "/v1/chat-messages"),
            (Method::POST, "/v1/chat-messages/task/stop"),
            (Method::POST, "/v1/workflows/id/run"),
            (Method::GET, "/v1/messages"),
            (Method::DELETE, "/v1/conversations/c"),
            (Method::POST, "/v1/files/upload"),
            (Method::GET, "/v1/parameters"),
        ] {
            assert!(opens(&method, path), "{method} {path}");
        }
        for (method, path) in [
            (Method::GET, "/v1/workflows/logs"),
            (Method::GET, "/v1/workflows/run/id"),
            (Method::GET, "/v1/end-users/id"),
            (Method::GET, "/v1/app/feedbacks"),
            (Method::POST, "/v1/apps/annotations"),
            (Method::GET, "/v1/datasets"),
        ] {
            assert!(!opens(&method, path), "{method} {path}");
        }
    }
}
