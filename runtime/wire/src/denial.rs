//! A call that the host refused, as sagas and journals show it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::names;

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

names! {
    /// What stood against a call.
    pub enum DenialReason {
        /// No grant of the module covers the origin.
        NotGranted = "not_granted",
        /// The origin's name leads to an address that is not public, and no grant of the origin says `private`.
        PrivateAddress = "private_address",
        /// The address is out of reach of every module.
        ForbiddenAddress = "forbidden_address",
        /// The host itself listens there.
        OwnListener = "own_listener",
        /// The step declares itself effect-free.
        EffectFree = "effect_free",
        /// A check sends only methods that change nothing.
        UnsafeInCheck = "unsafe_in_check",
        /// The URL names no origin that a grant could name.
        NotAnOrigin = "not_an_origin",
    }
}

names! {
    /// What an operator can give a module so that a denied call passes.
    pub enum Permit {
        /// A grant of the origin.
        Grant = "grant",
        /// A grant of the origin that says `private`.
        PrivateGrant = "private_grant",
    }
}
