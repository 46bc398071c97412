//! The page: three files in the program, the same for everybody and without any data.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

const FILES: [(&str, &str, &[u8]); 4] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../web/dist/index.html")),
    ("/live.js", "text/javascript; charset=utf-8", include_bytes!("../web/dist/live.js")),
    ("/live.css", "text/css; charset=utf-8", include_bytes!("../web/dist/live.css")),
    ("/licenses.txt", "text/plain; charset=utf-8", include_bytes!("../web/dist/licenses.txt")),
];

/// Nothing is loaded from elsewhere, nothing is run but the script, and nobody may put the page into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn file(path: &str) -> Response {
    let Some((_, kind, bytes)) = FILES.iter().find(|f| f.0 == path) else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let pairs = [
        (header::CONTENT_TYPE, *kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let headers: HeaderMap = pairs.into_iter().map(|(k, v)| (k, HeaderValue::from_static(v))).collect();
    (headers, *bytes).into_response()
}
