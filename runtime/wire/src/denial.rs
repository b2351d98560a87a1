//! A call that the host refused, as sagas and journals show it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::names;

/// A call of a step that the host refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Denial {
    /// The target of the call: an origin as grants spell it, or, if the reason is `not_an_origin`, the text that the step gave.
    #[schema(example = "https://hotel.example")]
    pub origin: String,
    /// Why it was refused.
    pub reason: DenialReason,
    /// The grant that would permit it; missing if none would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<Permit>,
    /// The address for which it was refused, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The method of the call, if it was refused for the method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

names! {
    /// Why a call was refused.
    pub enum DenialReason {
        /// No grant of the module covers the origin.
        NotGranted = "not_granted",
        /// The origin's name has an address that is not public, and no grant of the origin has `private`.
        PrivateAddress = "private_address",
        /// No module may call the address.
        ForbiddenAddress = "forbidden_address",
        /// The address is the host's own.
        OwnListener = "own_listener",
        /// The step declares itself effect-free.
        EffectFree = "effect_free",
        /// A check may send only methods that change nothing.
        UnsafeInCheck = "unsafe_in_check",
        /// The URL has no origin that can be granted.
        NotAnOrigin = "not_an_origin",
    }
}

names! {
    /// The grant that permits a denied call.
    pub enum Permit {
        /// A grant of the origin.
        Grant = "grant",
        /// A grant of the origin with `private`.
        PrivateGrant = "private_grant",
    }
}
