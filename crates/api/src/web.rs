//! The web app, out of the binary: files with hashed names that never change, and one page for every other address.

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A file of the web app.
pub(super) struct File {
    path: &'static str,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/web_files.rs"));

/// Nothing runs, and nothing is fetched, but what this server serves; no other page may put this one into a frame.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; \
     frame-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What is shown when the binary was built without the web app.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tutti</title>\
     <h1>Tutti is up</h1><p>This binary was built without the web app. With Node.js at hand, <code>make web</code> builds it; \
     build tutti again after that.</p><p>The API is at <a href=\"/api/v1/openapi.json\">/api/v1</a>, \
     and <code>tutti --help</code> lists the commands.</p></html>";

/// Whether a request is for the web app: a page or one of its files, not for an API.
pub(crate) fn is_for(request: &Request) -> bool {
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let of_api = ["/api/", "/hooks/", "/mcp"].iter().any(|prefix| path.starts_with(prefix));
    reads && !of_api && (file(path).is_some() || wants_page(request.headers()))
}

/// Answers with a file, or with the page for any other address: the page finds its way by itself.
pub(crate) fn serve(request: &Request) -> Response {
    serve_from(FILES, request)
}

/// The same out of these files: none when the web app was not built.
fn serve_from(files: &'static [File], request: &Request) -> Response {
    let file = |path: &str| files.iter().find(|file| file.path == path);
    let Some(file) = file(request.uri().path()).or_else(|| file("/index.html")) else {
        return answer("text/html; charset=utf-8", Bytes::from_static(NOT_BUILT.as_bytes()), false, None);
    };
    let compressed = file.brotli.filter(|_| accepts_brotli(request.headers()));
    let hashed = file.path.starts_with("/assets/");
    let body = Bytes::from_static(compressed.unwrap_or(file.plain));
    answer(kind_of(file.path), body, hashed, compressed.map(|_| "br"))
}

fn answer(kind: &'static str, body: Bytes, hashed: bool, encoding: Option<&'static str>) -> Response {
    let fixed = |text: &'static str| HeaderValue::from_static(text);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, fixed(kind));
    headers.insert(header::CACHE_CONTROL, fixed(if hashed { "public, max-age=31536000, immutable" } else { "no-cache" }));
    headers.insert(header::CONTENT_SECURITY_POLICY, fixed(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    headers.insert(header::REFERRER_POLICY, fixed("same-origin"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin"));
    headers.insert(header::VARY, fixed("accept-encoding"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, fixed(encoding));
    }
    (StatusCode::OK, headers, body).into_response()
}

fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

fn wants_page(headers: &HeaderMap) -> bool {
    text(headers, header::ACCEPT).contains("text/html")
}

fn accepts_brotli(headers: &HeaderMap) -> bool {
    text(headers, header::ACCEPT_ENCODING).split(',').any(|coding| coding.split(';').next().map(str::trim) == Some("br"))
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn kind_of(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" | "map" => "application/json",
        "woff2" => "font/woff2",
        "png" => "image/png",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn request(path: &str, accept: &str) -> Request {
        Request::builder().uri(path).header("accept", accept).body(Body::empty()).unwrap()
    }

    #[test]
    fn pages_are_for_browsers_and_the_api_is_not() {
        assert!(is_for(&request("/runs/some-run", "text/html,*/*")));
        assert!(!is_for(&request("/runs/some-run", "application/json")));
        assert!(!is_for(&request("/api/v1/nothing", "text/html")));
    }

    #[tokio::test]
    async fn without_a_build_of_the_web_app_every_page_says_how_to_get_it() {
        for path in ["/", "/runs/some-run"] {
            let response = serve_from(&[], &request(path, "text/html"));
            assert_eq!(
                (response.status(), &response.headers()[header::CACHE_CONTROL]),
                (StatusCode::OK, &HeaderValue::from_static("no-cache"))
            );
            let page = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            let page = String::from_utf8(page.to_vec()).unwrap();
            assert!(page.contains("built without the web app") && page.contains("<code>make web</code>"), "{page}");
        }
    }

    #[test]
    fn every_answer_forbids_foreign_scripts_and_frames() {
        let response = serve(&request("/", "text/html"));
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.contains("script-src 'self'") && policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}
