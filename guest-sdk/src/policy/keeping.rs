//! Process managers: policies that keep a state for each key.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::memory::{Forms, IntoState};
use super::{AnswerTo, Keeping, Names, OnTimer, Policy, Reacted, Reaction, Timer};
use crate::Events;
use crate::bindings::policies::exports::amends::module::policy as wit;
use crate::recorded::{Erased, Recorded};

impl<S> Policy<Keeping<S>>
where
    S: Default + Serialize + DeserializeOwned + 'static,
{
    /// A policy with this name, `[a-z][a-z0-9-]{0,62}`, that keeps a state for each key: a process manager.
    ///
    /// The state of a key is an instance. An event that [`starts`](Self::starts_on) one finds `S::default()`; those that go
    /// [`on`](Self::on) with it find what the ones before them have left. It ends with [`Reaction::end`], and its timers with it.
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{Command, Event, Keeping, Policy, Reaction, Recorded, Timer, context};
    /// use serde::{Deserialize, Serialize};
    /// use std::collections::BTreeSet;
    /// use std::time::Duration;
    ///
    /// #[derive(Event, Serialize, Deserialize)]
    /// #[event(aggregate = "group")]
    /// enum Group { Formed { guests: BTreeSet<String> } }
    ///
    /// #[derive(Event, Serialize, Deserialize)]
    /// #[event(aggregate = "stay")]
    /// enum Stay { CheckedOut { group: String } }
    ///
    /// #[derive(Command, Serialize, Deserialize)]
    /// #[command(aggregate = "stay")]
    /// enum Do { CheckOut { group: String } }
    ///
    /// /// Who is still in the house.
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Left { guests: BTreeSet<String> }
    ///
    /// fn begin(left: &mut Left, event: Recorded<Group>, reaction: &mut Reaction) {
    ///     let Group::Formed { guests } = event.event;
    ///     for guest in &guests {
    ///         reaction.send(guest, Do::CheckOut { group: event.key.clone() });
    ///     }
    ///     reaction.set_timer("give-up", context::now() + Duration::from_secs(3600));
    ///     left.guests = guests;
    /// }
    ///
    /// fn count(left: &mut Left, event: Recorded<Stay>, reaction: &mut Reaction) {
    ///     left.guests.remove(&event.key);
    ///     if left.guests.is_empty() {
    ///         reaction.end();
    ///     }
    /// }
    ///
    /// fn give_up(left: &mut Left, _: Timer, reaction: &mut Reaction) {
    ///     reaction.publish("check-out.failed", reaction.key(), left);
    ///     reaction.end();
    /// }
    ///
    /// fn check_outs() -> Policy<Keeping<Left>> {
    ///     Policy::keeping("check-outs")
    ///         .starts_on("group.formed", begin)
    ///         .on("stay.checked-out", count)
    ///         .by("/group")
    ///         .on_timer("give-up", give_up)
    ///         .sends("stay.check-out")
    ///         .publishes("check-out.failed")
    /// }
    ///
    /// given(check_outs())
    ///     .when("G1", Group::Formed { guests: ["S1".into(), "S2".into()].into() })
    ///     .then(
    ///         r#"send stay/S1 check-out {"group":"G1"}
    ///            send stay/S2 check-out {"group":"G1"}
    ///            set give-up in 1h
    ///            state {"guests":["S1","S2"]}"#,
    ///     )
    ///     .when("S1", Stay::CheckedOut { group: "G1".into() })
    ///     .then(r#"state {"guests":["S2"]}"#)
    ///     .advance(Duration::from_secs(3600))
    ///     .then(
    ///         r#"timer give-up of G1
    ///            publish check-out.failed/G1 {"guests":["S2"]}
    ///            end"#,
    ///     );
    /// ```
    ///
    /// The state is JSON, and is kept in the journal with each reaction that changes it; it has at most the size of a payload, by
    /// default 1 MiB. What grows without end is better an aggregate.
    pub fn keeping(name: impl Into<Cow<'static, str>>) -> Self {
        Policy::new(name.into(), Some(Forms::first()))
    }

    /// Takes events of an aggregate, of these types, each of which begins an instance. Where there is one with the key already,
    /// the event is a dead letter, which operators see.
    ///
    /// Types and events are those of [`on`](Policy::on) without a state; the function also receives the state.
    pub fn starts_on<E: Events, R: Reacted>(
        self,
        types: impl Names,
        react: impl Fn(&mut S, Recorded<E>, &mut Reaction) -> R + 'static,
    ) -> Self {
        self.taking(types, wit::Route::Start, move |state, event, reaction| react(state, event, reaction).into_result())
    }

    /// Takes events of an aggregate, of these types, each of which begins an instance or goes on with the one that is there.
    pub fn starts_or_continues_on<E: Events, R: Reacted>(
        self,
        types: impl Names,
        react: impl Fn(&mut S, Recorded<E>, &mut Reaction) -> R + 'static,
    ) -> Self {
        self.taking(types, wit::Route::StartOrContinue, move |state, event, reaction| react(state, event, reaction).into_result())
    }

    /// Takes events of an aggregate, of these types, each of which goes on with an instance.
    ///
    /// One that comes before the instance is kept for it, by default for 7 days, and is a dead letter then; one that comes after
    /// its end is recorded as late.
    pub fn on<E: Events, R: Reacted>(
        self,
        types: impl Names,
        react: impl Fn(&mut S, Recorded<E>, &mut Reaction) -> R + 'static,
    ) -> Self {
        self.taking(types, wit::Route::Continue, move |state, event, reaction| react(state, event, reaction).into_result())
    }

    /// As [`starts_on`](Self::starts_on), of published events, whose data is a `T`; without data, it is JSON's `null`.
    pub fn starts_on_published<T: DeserializeOwned + 'static, R: Reacted>(
        self,
        types: impl Names,
        react: impl Fn(&mut S, Recorded<T>, &mut Reaction) -> R + 'static,
    ) -> Self {
        self.taking_published(types, wit::Route::Start, move |state, event, reaction| react(state, event, reaction).into_result())
    }

    /// As [`starts_or_continues_on`](Self::starts_or_continues_on), of published events.
    pub fn starts_or_continues_on_published<T: DeserializeOwned + 'static, R: Reacted>(
        self,
        types: impl Names,
        react: impl Fn(&mut S, Recorded<T>, &mut Reaction) -> R + 'static,
    ) -> Self {
        let route = wit::Route::StartOrContinue;
        self.taking_published(types, route, move |state, event, reaction| react(state, event, reaction).into_result())
    }

    /// As [`on`](Self::on), of published events.
    pub fn on_published<T: DeserializeOwned + 'static, R: Reacted>(
        self,
        types: impl Names,
        react: impl Fn(&mut S, Recorded<T>, &mut Reaction) -> R + 'static,
    ) -> Self {
        self.taking_published(types, wit::Route::Continue, move |state, event, reaction| {
            react(state, event, reaction).into_result()
        })
    }

    /// Takes the timers of this name, and those whose name begins with it and a slash: `on_timer("remind", …)` takes `remind` and
    /// `remind/S1`.
    pub fn on_timer<R: Reacted>(
        mut self,
        name: impl Into<String>,
        react: impl Fn(&mut S, Timer, &mut Reaction) -> R + 'static,
    ) -> Self {
        let take =
            move |state: &mut S, timer: &wit::Timer, reaction: &mut Reaction| react(state, timer.into(), reaction).into_result();
        self.on_timers.push(OnTimer { name: name.into(), take: Box::new(take) });
        self
    }

    /// Takes the answers to the commands that an instance has sent: accepted, or refused and why. An answer that comes after the
    /// end of the instance is for nobody: nothing follows from it.
    ///
    /// Without it, a command that is refused is recorded with the policy, logged, and counted.
    pub fn on_answer<R: Reacted>(mut self, react: impl Fn(&mut S, AnswerTo, &mut Reaction) -> R + 'static) -> Self {
        self.on_answer = Some(Box::new(move |state, answer, reaction| react(state, answer.into(), reaction).into_result()));
        self
    }

    /// What follows from an event whose data was erased. By default nothing does, and it begins no instance.
    pub fn on_erased<R: Reacted>(mut self, react: impl Fn(&mut S, Recorded<Erased>, &mut Reaction) -> R + 'static) -> Self {
        let take = move |state: &mut S, raw: &_, reaction: &mut Reaction| {
            react(state, Recorded::new(raw, Erased), reaction).into_result()
        };
        self.on_erased = Some(Box::new(take));
        self
    }

    /// The number of the form in which the state is kept, from 1, which it is by default. Raise it when a state that was kept no
    /// longer reads as an `S`, and say with [`reads`](Self::reads) how the older forms are read.
    ///
    /// A version of the module that cannot read the state of some instance is not activated.
    ///
    /// ```
    /// # use amends_sdk::testing::given;
    /// # use amends_sdk::{Event, Keeping, Policy, Reaction, Recorded};
    /// # use serde::{Deserialize, Serialize};
    /// # use serde_json::json;
    /// # #[derive(Event, Serialize, Deserialize)] #[event(aggregate = "till")] enum Till { Paid { cents: u64 } }
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Sum { cents: u64 }
    ///
    /// /// The first form.
    /// #[derive(Deserialize)]
    /// struct InEuros { euros: u64 }
    ///
    /// let add = |sum: &mut Sum, event: Recorded<Till>, _: &mut Reaction| { let Till::Paid { cents } = event.event; sum.cents += cents; };
    /// let sums: Policy<Keeping<Sum>> = Policy::keeping("sums")
    ///     .starts_or_continues_on("till.paid", add)
    ///     .state_version(2)
    ///     .reads(1, |old: InEuros| Sum { cents: 100 * old.euros });
    /// given(sums).kept("T1", 1, json!({"euros": 7})).when("T1", Till::Paid { cents: 34 }).then(r#"state {"cents":734}"#);
    /// ```
    pub fn state_version(mut self, version: u32) -> Self {
        if let Some(forms) = &mut self.forms {
            forms.version = version;
        }
        self
    }

    /// Reads states of an older form: the function makes today's state of one, or a `Result` of it.
    pub fn reads<Old: DeserializeOwned + 'static, R: IntoState<S>>(
        mut self,
        version: u32,
        from: impl Fn(Old) -> R + 'static,
    ) -> Self {
        if let Some(forms) = &mut self.forms {
            forms.read(version, from);
        }
        self
    }
}
