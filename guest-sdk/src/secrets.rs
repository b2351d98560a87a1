//! Secrets of the operator: they are files in the folder of `amends serve --secrets DIR`, and `amends grant MODULE --secret NAME`
//! lets a module read one.
//!
//! The host writes no secret to its journal or its log, but a step can: in an output, in a failure, or in a log line. An operator
//! can replace a secret while a saga runs, so it may differ between attempts.

use crate::host;

/// The value; none if it was not granted, or if there is no such file, which the host logs.
///
/// ```
/// use amends_sdk::{Call, Result, http, secrets, transient};
///
/// fn charge(order: String, _: &Call) -> Result<String> {
///     let key = secrets::get("bank-key").ok_or_else(|| transient("no_key", "the bank's key is not there"))?;
///     let answer = http::post("https://bank.example/charges").header("authorization", format!("Bearer {key}")).body(order);
///     Ok(answer.send()?.ok()?.text())
/// }
/// ```
pub fn get(name: &str) -> Option<String> {
    host::secret(name)
}
