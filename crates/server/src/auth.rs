use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::ApiError;
use crate::serve::App;

/// Lets those pass who know the admin token.
pub(crate) async fn require_admin(State(app): State<App>, request: Request, next: Next) -> Response {
    let known = bearer(request.headers()).is_some_and(|token| {
        aws_lc_rs::constant_time::verify_slices_are_equal(token.as_bytes(), app.admin_token.as_bytes()).is_ok()
    });
    if known {
        next.run(request).await
    } else {
        let message = "this needs the admin token as `authorization: Bearer <token>`; see the file admin-token in the data directory of leno control";
        ApiError::new(401, "Unauthorized", message).into_response()
    }
}

/// RFC 6750 §2.1; the scheme in any case (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
