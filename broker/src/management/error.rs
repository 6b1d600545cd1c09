//! Every answer that is not a success: a status, one word, one sentence.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use warren_membership::catalog::Refusal;

use super::model::ErrorBody;
use crate::connection::ports::ProposalError;

/// Why a request was not served.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    error: &'static str,
    reason: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, error: &'static str, reason: impl Into<String>) -> Self {
        Self { status, error, reason: reason.into() }
    }

    pub(super) fn bad_request(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", reason)
    }

    pub(super) fn not_found(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", reason)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status;
        let body = ErrorBody { error: self.error.to_owned(), reason: self.reason };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"Warren\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<ProposalError> for ApiError {
    fn from(error: ProposalError) -> Self {
        let reason = error.to_string();
        match error {
            ProposalError::Unavailable(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", reason),
            ProposalError::Refused(refusal) => match refusal {
                Refusal::NotFound(_)
                | Refusal::UnknownVhost(_)
                | Refusal::UnknownUser(_)
                | Refusal::UnknownParameter(_) => Self::not_found(reason),
                _ => Self::new(StatusCode::CONFLICT, "refused", reason),
            },
        }
    }
}
