//! A call that the host refused, as data: where it went, what stood against it, and what would permit it.
//!
//! Sentences and commands for people are made where people read them; a record holds neither.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A refused call of a guest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Denial {
    /// Where the call went: an origin as grants spell it, or, if it is no origin, the text that the guest gave.
    pub origin: String,
    /// What stood against it.
    pub reason: DenialReason,
}

/// What stood against a call. New reasons go at the end: a record stores the index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DenialReason {
    /// No grant of the module covers the origin.
    NotGranted,
    /// The origin's name leads to an address that is not public, and no grant of the origin says `private`.
    PrivateAddress(Address),
    /// The address is out of reach of every guest.
    ForbiddenAddress(Address),
    /// The host itself listens there.
    OwnListener,
    /// The step declares itself effect-free.
    EffectFree,
    /// A check sends only methods that change nothing; this one may.
    UnsafeInCheck {
        /// The method.
        method: String,
    },
    /// The URL names no origin that a grant could name.
    NotAnOrigin {
        /// The rule that it breaks.
        rule: String,
    },
}

/// An address that stood against a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// What kind of network it belongs to.
    pub network: Network,
}

/// Kinds of networks that are not the public internet. New kinds go at the end: a record stores the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Network {
    /// The machine itself.
    Loopback,
    /// A private network.
    Private,
    /// A site-local network, an older form of a private one.
    SiteLocal,
    /// A carrier's network, shared by its customers.
    CarrierShared,
    /// Link-local.
    LinkLocal,
    /// A cloud's metadata service at an address that is not link-local.
    CloudMetadata,
    /// `0.0.0.0/8`, the network that the machine is in.
    ThisNetwork,
    /// The unspecified IPv6 address.
    Unspecified,
    /// Multicast.
    Multicast,
    /// Broadcast.
    Broadcast,
    /// Reserved for protocols.
    Protocols,
    /// Reserved for documentation.
    Documentation,
    /// Reserved for benchmarks.
    Benchmarks,
    /// Reserved without a purpose.
    Reserved,
    /// An IPv4-compatible IPv6 address.
    Ipv4Compatible,
    /// An IPv4 address behind NAT64.
    Nat64,
    /// An IPv4 address behind 6to4.
    SixToFour,
    /// An IPv4 address behind Teredo.
    Teredo,
}

/// What an operator can give a module so that a denied call passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// A grant of the origin.
    Grant,
    /// A grant of the origin that says `private`.
    PrivateGrant,
}

impl Denial {
    /// A refused call to this origin.
    pub fn new(origin: impl Into<String>, reason: DenialReason) -> Self {
        Self { origin: origin.into(), reason }
    }

    /// What would permit the call. `None` means that no grant does.
    pub fn permit(&self) -> Option<Permit> {
        match self.reason {
            DenialReason::NotGranted => Some(Permit::Grant),
            DenialReason::PrivateAddress(_) => Some(Permit::PrivateGrant),
            DenialReason::ForbiddenAddress(_)
            | DenialReason::OwnListener
            | DenialReason::EffectFree
            | DenialReason::UnsafeInCheck { .. }
            | DenialReason::NotAnOrigin { .. } => None,
        }
    }
}

impl DenialReason {
    /// Its name for machines, which never changes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotGranted => "not_granted",
            Self::PrivateAddress(_) => "private_address",
            Self::ForbiddenAddress(_) => "forbidden_address",
            Self::OwnListener => "own_listener",
            Self::EffectFree => "effect_free",
            Self::UnsafeInCheck { .. } => "unsafe_in_check",
            Self::NotAnOrigin { .. } => "not_an_origin",
        }
    }
}
