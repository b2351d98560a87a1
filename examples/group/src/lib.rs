//! A group of guests checks out together: one saga with one step for each stay. A refused check-out is a result.
//!
//! Nothing is undone: a check-out is final. The saga is completed when every stay is checked out or refused; its output has the
//! status of the group and the refused stays.

#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use amends_sdk::{Call, Collected, Each, Module, Refused, Result, Saga, Step, http, refused};
use serde::{Deserialize, Serialize};

/// The version that outputs and requests name.
pub const VERSION: u32 = 1;

/// The input: the group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// The address of the participants: `http://127.0.0.1:8430`.
    pub participants: String,
    /// The guests' stays; a stay that is named twice counts once.
    pub stays: Vec<String>,
    /// Who checks them out.
    #[serde(default = "night_clerk")]
    pub clerk: String,
}

/// The values that all check-outs share; the output of `open`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// The address of the participants.
    pub participants: String,
    /// The input: the group.
    pub clerk: String,
}

/// A stay that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckedOut {
    /// The participant's number for it.
    pub confirmation: String,
}

/// The output of the saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whether all stays are checked out.
    pub status: Status,
    /// The saga's id.
    pub group: String,
    /// The stays that are checked out.
    pub completed: Vec<String>,
    /// The stays that are not.
    pub failed: Vec<Failed>,
    /// The version of the module that did it.
    pub version: u32,
}

/// Whether all stays are checked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// All stays are checked out.
    Completed,
    /// At least one is not.
    Failed,
}

/// A stay that is not checked out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The stay.
    pub stay: String,
    /// Why: `balance_not_settled`, `not_opened`.
    pub reason: String,
}

/// The module.
pub fn module() -> Module {
    Module::new("group").saga(group())
}
amends_sdk::export!(saga: module);

/// Ten check-outs at a time. The stay's name is the element and its key.
pub fn group() -> Saga<Group> {
    Saga::new("group")
        .version(VERSION)
        .step(Step::compensatable("open", open).effect_free().undo_nothing())
        .step(
            Step::retriable("check-out", check_out)
                .needs(["open"])
                .check(is_out)
                .each(Each::in_input("/stays").key("").collect().concurrency(10)),
        )
        .step(Step::retriable("report", report).effect_free().needs(["check-out"]))
}

fn open(group: Group, _: &Call) -> Result<Opened> {
    match group.stays.is_empty() {
        true => Err(refused("empty_group", "a group has at least one stay")),
        false => Ok(Opened { participants: group.participants, clerk: group.clerk }),
    }
}

/// The participant identifies this step by its path, `check-out[s1]`, because the name is the same for all stays.
fn check_out(stay: String, call: &Call) -> Result<CheckedOut> {
    let Opened { participants, clerk } = call.output("open")?;
    let ask = Ask { group: call.saga(), step: call.path(), by: format!("group {VERSION} {clerk}") };
    Ok(http::post(format!("{participants}/stays/{stay}/check-out")).json(&ask).send()?.ok()?.json()?)
}

/// The check after a lost answer. A check-out has no compensation, so only this check can find out whether a later refusal is
/// final.
fn is_out(stay: String, call: &Call) -> Result<Option<CheckedOut>> {
    let Opened { participants, .. } = call.output("open")?;
    let (group, step) = (call.saga(), in_query(call.path()));
    let answer = http::get(format!("{participants}/stays/{stay}/check-out?group={group}&step={step}")).send()?;
    match answer.status() {
        404 => Ok(None),
        _ => Ok(Some(answer.ok()?.json()?)),
    }
}

/// A path with the key of its element, as a part of a query.
fn in_query(path: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(encoded).collect()
}

fn report(_: Group, call: &Call) -> Result<Report> {
    let stays: Collected<CheckedOut> = call.output("check-out")?;
    let completed = stays.done.into_iter().map(|done| done.key).collect();
    let failed = |refused: Refused| Failed { stay: refused.key, reason: refused.failure.code };
    let failed: Vec<Failed> = stays.refused.into_iter().map(failed).collect();
    let status = if failed.is_empty() { Status::Completed } else { Status::Failed };
    Ok(Report { status, group: call.saga().to_owned(), completed, failed, version: VERSION })
}

/// The request to a participant. It takes effect once for a group and a step.
#[derive(Serialize)]
struct Ask<'a> {
    group: &'a str,
    step: &'a str,
    by: String,
}

fn night_clerk() -> String {
    "night clerk".to_owned()
}
