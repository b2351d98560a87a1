//! Timers of an instance, when their moment has come.

use serde::de::DeserializeOwned;

use crate::bindings::imports::amends::module::types::Payload;
use crate::bindings::policies::exports::amends::module::policy as wit;
use crate::stop::{Result, refused};
use crate::{Moment, payload};

/// A timer whose moment has come: see [`Reaction::set_timer`](crate::Reaction::set_timer).
///
/// ```
/// # use amends_sdk::testing::given;
/// # use amends_sdk::{Event, Policy, Reaction, Recorded, context};
/// # use serde::{Deserialize, Serialize};
/// # use std::time::Duration;
/// use amends_sdk::{Result, Timer};
/// # #[derive(Event, Serialize, Deserialize)] #[event(aggregate = "loan")] enum Loan { Granted { to: String } }
///
/// fn remind(_: &mut u32, timer: Timer, reaction: &mut Reaction) -> Result {
///     let to: String = timer.data()?;
///     reaction.publish("reminder", to, &timer.at);
///     Ok(())
/// }
///
/// # let grant = |_: &mut u32, event: Recorded<Loan>, reaction: &mut Reaction| {
/// #     let Loan::Granted { to } = event.event;
/// #     reaction.set_timer_with("remind", context::now() + Duration::from_secs(86_400), &to);
/// # };
/// let loans = Policy::keeping("loans").starts_on("loan.granted", grant).on_timer("remind", remind).publishes("reminder");
/// given(loans)
///     .when("L1", Loan::Granted { to: "ada".into() })
///     .then("set remind in 1d \"ada\"\n state 0")
///     .advance(Duration::from_secs(86_400))
///     .then("timer remind of L1\n publish reminder/ada 1767312000000");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Timer {
    /// Its name.
    pub name: String,
    /// The moment for which it was set. It fires then or later.
    pub at: Moment,
    data: Option<Payload>,
}

impl Timer {
    /// What it was set with. Fails with `bad_timer` if it was nothing, or is no `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T> {
        match &self.data {
            Some(data) => {
                payload::decode(data).map_err(|error| refused("bad_timer", format_args!("the timer {}: {error}", self.name)))
            }
            None => Err(refused("bad_timer", format_args!("the timer {} was set without data", self.name))),
        }
    }
}

impl From<&wit::Timer> for Timer {
    fn from(timer: &wit::Timer) -> Timer {
        Timer { name: timer.name.clone(), at: Moment::from_millis(timer.at), data: timer.data.clone() }
    }
}
