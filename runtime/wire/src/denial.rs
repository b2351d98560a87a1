//! A call that the host refused, as sagas and journals show it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A call of a step that the host refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Denial {
    /// Where the call went: an origin as grants spell it, or, if the reason is `not_an_origin`, the text that the step gave.
    #[schema(example = "https://hotel.example")]
    pub origin: String,
    /// What stood against it.
    pub reason: DenialReason,
    /// What would permit it; left out if no grant does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<Permit>,
    /// The address that stood against it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The method of the call, if the method stood against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// What stood against a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DenialReason {
    /// No grant of the module covers the origin.
    NotGranted,
    /// The origin's name leads to an address that is not public, and no grant of the origin says `private`.
    PrivateAddress,
    /// The address is out of reach of every module.
    ForbiddenAddress,
    /// The host itself listens there.
    OwnListener,
    /// The step declares itself effect-free.
    EffectFree,
    /// A check sends only methods that change nothing.
    UnsafeInCheck,
    /// The URL names no origin that a grant could name.
    NotAnOrigin,
}

/// What an operator can give a module so that a denied call passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Permit {
    /// A grant of the origin.
    Grant,
    /// A grant of the origin that says `private`.
    PrivateGrant,
}
