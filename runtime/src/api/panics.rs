//! A handler that panics is a bug of ours. Its client is answered all the same: a closed connection would tell it nothing.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use axum::{
    http::{Method, Uri},
    response::{IntoResponse, Response},
};

use super::error::ApiError;

/// Answers 500 for a handler that panics. What had been asked of the engine by then goes on, so asking again is as safe as
/// after any answer that was lost.
pub(super) async fn answered(method: Method, uri: Uri, handler: impl Future<Output = Response>) -> Response {
    let mut handler = pin!(handler);
    let answer = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(response)) => Poll::Ready(Some(response)),
        // Not polled again, and dropped with the request.
        Err(_) => Poll::Ready(None),
    });
    answer.await.unwrap_or_else(|| {
        // The words of the panic are in the log already, with the place.
        tracing::error!(%method, path = uri.path(), "a handler of the API panicked; please report it");
        ApiError::internal("it panicked while it answered").into_response()
    })
}
