//! What operators send to a saga, and the answer.

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use super::{Json, names::names, saga::Status};

names! {
    /// What an operator may do to a saga.
    pub enum Verb {
        /// Roll it back.
        Cancel = "cancel",
        /// Try again now what is stuck or backs off.
        Retry = "retry",
        /// Give a stuck compensation up.
        Skip = "skip",
        /// Say what happened to a step.
        Resolve = "resolve",
        /// Break a lock key that it holds.
        Unlock = "unlock",
        /// Take it over to another version of its module.
        Move = "move",
        /// End it where it stands.
        Abandon = "abandon",
    }
}

names! {
    /// A verb that can be applied to many sagas.
    pub enum JobVerb {
        /// Roll the saga back.
        Cancel = "cancel",
        /// Begin a new attempt now of steps that are stuck or wait for a retry.
        Retry = "retry",
        /// Give up a stuck compensation.
        Skip = "skip",
        /// Record the result of a step.
        Resolve = "resolve",
        /// End the saga without completing or undoing it.
        Abandon = "abandon",
        /// Move the saga to another version of its module.
        Move = "move",
    }
}

/// Why a verb is asked, and of which revision: a part of every body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// Why.
    pub note: Option<String>,
    /// Only if the saga is at this revision.
    pub expect_revision: Option<String>,
}

/// The body of a verb.
pub trait VerbBody: DeserializeOwned + Send {
    /// Why it is asked, and of which revision.
    fn into_reason(self) -> Reason;
}

/// Makes each body a struct of its own fields and of those of [`Reason`]. `#[serde(flatten)]` would say the same with less; but
/// with it serde no longer names the fields that there are when it refuses an unknown one.
macro_rules! bodies {
    ($($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $type:ty,)* })*) => { $(
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_about])* pub $field: $type,)*
            /// Why.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub note: Option<String>,
            /// Only if the saga is at this revision.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub expect_revision: Option<String>,
        }

        impl VerbBody for $name {
            fn into_reason(self) -> Reason {
                Reason { note: self.note, expect_revision: self.expect_revision }
            }
        }
    )* };
}

bodies! {
    /// The body of `cancel` and `abandon`.
    ActRequest {}

    /// The body of `retry`.
    RetryRequest {
        /// One step; without it, every one that is stuck or backs off.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
    }

    /// The body of `skip`.
    SkipRequest {
        /// The step whose compensation is given up.
        step: String,
    }

    /// The body of `resolve`: exactly one of `output`, `not_done` and `undone`.
    ResolveRequest {
        /// The step.
        step: String,
        /// It is done, and returned this. `null` is an output too.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        output: Option<Json>,
        /// It did not happen.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        not_done: bool,
        /// Its compensation was done by hand.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        undone: bool,
    }

    /// The body of `unlock`.
    UnlockRequest {
        /// The lock key that is broken, as `seat/12A`.
        key: String,
    }

    /// The body of `move`.
    MoveRequest {
        /// The version of its module that it goes over to.
        version: u32,
    }
}

/// The answer to a verb.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Acted {
    /// The saga.
    pub id: String,
    /// Where it stands afterwards.
    pub status: Status,
    /// The version of its stream afterwards.
    pub revision: String,
    /// The verb changed the saga; a repeated one did not.
    pub applied: bool,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}
