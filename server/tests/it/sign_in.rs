//! Sign-in links and what the session cookie may do.

use reqwest::Method;
use serde_json::json;
use testkit::{World, answer};

/// Opens a sign-in link and gives back the cookie it sets.
async fn enter(world: &World, user: &str) -> String {
    let minted = world
        .post("/api/user/tokens", &json!({ "userId": user }))
        .await;
    let url = minted.data()["signInUrl"]
        .as_str()
        .expect("a link")
        .to_owned();
    assert!(url.starts_with(&world.url("/enter?token=")), "{url}");
    let opened = answer(world.client.get(url)).await;
    assert_eq!(opened.status, 303);
    assert_eq!(opened.headers["location"], "/my");
    assert_eq!(opened.headers["cache-control"], "no-store");
    let cookie = opened.headers["set-cookie"].to_str().expect("a cookie");
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    cookie.split(';').next().expect("a cookie").to_owned()
}

#[tokio::test]
async fn a_link_signs_its_user_in() {
    let world = World::new().await;
    world.grant("u1", "5").await;
    let cookie = enter(&world, "u1").await;
    let get = |path: &str| world.request(Method::GET, path).header("cookie", &cookie);
    let own = answer(get("/api/user/points/balance")).await;
    assert_eq!(own.data()["userId"], "u1");
    let other = answer(get("/api/user/points/balance?userId=u2")).await;
    assert_eq!(other.refusal(), (403, "other_user", None));
    let live = answer(get("/api/admin/live")).await;
    assert_eq!(live.refusal(), (403, "wrong_scope", None));
}

#[tokio::test]
async fn a_link_that_is_not_valid_leads_to_the_sign_in_page() {
    let world = World::new().await;
    for token in ["", "?token=", "?token=nonsense"] {
        let opened = answer(world.request(Method::GET, &format!("/enter{token}"))).await;
        assert_eq!(opened.status, 303, "{token}");
        let location = opened.headers["location"].to_str().expect("text");
        assert!(location.starts_with("/sign-in"), "{location}");
        assert!(!opened.headers.contains_key("set-cookie"));
    }
}

#[tokio::test]
async fn another_site_cannot_use_the_session() {
    let world = World::new().await;
    let cookie = enter(&world, "u1").await;
    let check = || {
        world
            .request(Method::POST, "/api/user/points/check-balance")
            .header("cookie", &cookie)
            .json(&json!({ "modelName": "gpt-4" }))
    };
    let host = world.server.addr().to_string();
    for (headers, is_allowed) in [
        (vec![("sec-fetch-site", "same-origin".to_owned())], true),
        (vec![("sec-fetch-site", "cross-site".to_owned())], false),
        (vec![("origin", format!("http://{host}"))], true),
        (vec![("origin", "http://evil.example".to_owned())], false),
        (vec![], false),
    ] {
        let mut request = check();
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        let answer = answer(request).await;
        if is_allowed {
            assert_eq!(answer.status, 200, "{headers:?}");
        } else {
            assert_eq!(answer.refusal(), (403, "cross_site", None), "{headers:?}");
        }
    }
}
