//! Secrets of the operator: `amends serve --secrets DIR` says where they are, `amends grant MODULE --secret NAME` who may read one.
//!
//! Neither the host's journal nor its log holds a secret, unless a step puts it there: in an output, in a failure, in a log
//! line. A secret may be replaced while a saga runs, so it may differ from one attempt to the next.

use crate::host;

/// The value; none if it was not granted, or if the operator has put no such file there, which the host's log says.
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
