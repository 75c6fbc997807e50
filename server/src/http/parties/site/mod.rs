//! The pages: rendered by Leptos, their server functions, and the files they are made of.

mod enter;

use app::AppContext;
use axum::Router;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use leptos::config::LeptosOptions;
use leptos::nonce::use_nonce;
use leptos::prelude::{provide_context, use_context};
use leptos_axum::{LeptosRoutes, ResponseOptions, generate_route_list};
use tower::ServiceExt;
use tower_http::services::ServeDir;

pub use enter::enter;

use crate::http::plumbing::state::Http;

/// Adds the pages to the routes, and everything else that is not under `/api` as a file.
pub fn routes(router: Router<Http>, http: &Http) -> Router<Http> {
    let options = http.0.leptos.clone();
    let context = provider(http.0.context.clone(), &options);
    let shell = {
        let options = options.clone();
        move || app::shell(options.clone())
    };
    let missing_page = leptos_axum::render_app_async_with_context(context.clone(), shell.clone());
    let files = ServeDir::new(&*options.site_root)
        .precompressed_br()
        .precompressed_gzip();
    router
        .leptos_routes_with_context(http, generate_route_list(app::App), context, shell)
        .fallback(move |request: Request| {
            let (files, missing_page) = (files.clone(), missing_page.clone());
            async move { file_or_page(request, files, missing_page).await }
        })
}

/// What every page and server function gets: the app's context, and a content security policy
/// that allows the scripts of this one answer.
fn provider(
    context: AppContext,
    options: &LeptosOptions,
) -> impl Fn() + Clone + Send + Sync + 'static {
    // While developing, the page listens for new builds.
    let watch = match std::env::var_os("LEPTOS_WATCH") {
        Some(_) => format!(
            " ws://127.0.0.1:{0} ws://localhost:{0}",
            options.reload_port
        ),
        None => String::new(),
    };
    move || {
        provide_context(context.clone());
        let (Some(nonce), Some(response)) = (use_nonce(), use_context::<ResponseOptions>()) else {
            return;
        };
        let policy = format!(
            "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; \
             style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:; \
             font-src 'self'; connect-src 'self'{watch}; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'"
        );
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            response.insert_header(CONTENT_SECURITY_POLICY, policy);
        }
        // A page shows one person's points.
        response.insert_header(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
}

async fn file_or_page<P, F>(request: Request, files: ServeDir, missing_page: P) -> Response
where
    P: FnOnce(Request) -> F,
    F: Future<Output = Response>,
{
    let (parts, body) = request.into_parts();
    let for_page = Request::from_parts(parts.clone(), body);
    let for_file = Request::from_parts(parts, axum::body::Body::empty());
    let Ok(mut file) = files.oneshot(for_file).await;
    if file.status() == StatusCode::NOT_FOUND || file.status() == StatusCode::METHOD_NOT_ALLOWED {
        let mut page = missing_page(for_page).await;
        *page.status_mut() = StatusCode::NOT_FOUND;
        return page;
    }
    // File names stay the same from build to build, so browsers ask each time whether a file has
    // changed, which costs one short answer.
    file.headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    file.into_response()
}
