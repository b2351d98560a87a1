//! What the participants know and do: inventories, accounts, stays, tickets and emails, each effect once. No clock, no network,
//! no faults.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::{Answer, Ask, Keys, Look};
use crate::operation::Operation;

/// Everything that the participants remember.
#[derive(Clone, Debug)]
pub struct World {
    /// What is left of each flight, hotel and car.
    pub stock: BTreeMap<String, u32>,
    /// What is left on each account, in cents.
    pub accounts: BTreeMap<String, u64>,
    /// What was debited and is neither credited nor put back, in cents, by transfer.
    pub in_transit: BTreeMap<String, u64>,
    /// The guests' stays.
    pub stays: BTreeMap<String, Stay>,
    /// The emails that went out.
    pub emails: Vec<Email>,
    /// How often each operation has really changed something.
    pub effects: BTreeMap<String, u32>,
    /// What stands, and what was taken back, by trip and step.
    orders: BTreeMap<(String, String), Order>,
    /// The step keys that were taken back: what they had asked for is refused for ever, however late it comes.
    tombstones: BTreeSet<String>,
    /// What each `Idempotency-Key` was first used for.
    keys: BTreeMap<String, (Operation, String, Ask)>,
}

/// An email that went out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// Of which trip it speaks.
    pub trip: String,
    /// To whom.
    pub to: String,
    /// What it says.
    pub subject: String,
}

/// A guest's stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// What the guest has paid beyond the charges, in cents; below zero it is owed.
    pub balance_cents: i64,
    /// The guest is there.
    #[serde(default = "yes")]
    pub open: bool,
}

fn yes() -> bool {
    true
}

/// Flight F100 with 2 seats, hotel H1 with 1 room, 1 car K1, and 1,000.00 on account A.
impl Default for World {
    fn default() -> World {
        World {
            stock: [("F100", 2), ("H1", 1), ("K1", 1)].map(|(name, left)| (name.to_owned(), left)).into(),
            accounts: BTreeMap::from([("A".to_owned(), 100_000)]),
            in_transit: BTreeMap::new(),
            stays: BTreeMap::new(),
            emails: Vec::new(),
            effects: BTreeMap::new(),
            orders: BTreeMap::new(),
            tombstones: BTreeSet::new(),
            keys: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug)]
struct Order {
    amount_cents: u64,
    /// The key of the step that asked, or that was cancelled before it asked.
    step_key: Option<String>,
    standing: Standing,
}

#[derive(Clone, Debug)]
enum Standing {
    /// It took hold, and this was the answer.
    Stands(Operation, Value),
    TakenBack,
}

impl World {
    /// Does what is asked, at most once for a trip and a step.
    pub fn perform(&mut self, operation: Operation, resource: &str, ask: &Ask, keys: &Keys) -> Answer {
        if let Some(key) = &keys.idempotency {
            let first = self.keys.entry(key.clone()).or_insert_with(|| (operation, resource.to_owned(), ask.clone()));
            if *first != (operation, resource.to_owned(), ask.clone()) {
                return Answer::KeyReused;
            }
        }
        match operation.takes_back() {
            true => self.take_back(operation, resource, ask, keys),
            false => self.take(operation, resource, ask, keys),
        }
    }

    /// What stands of a call; nothing changes.
    pub fn look(&self, operation: Operation, look: &Look) -> Answer {
        match self.orders.get(&(look.trip.clone(), look.step.clone())).map(|order| &order.standing) {
            Some(Standing::Stands(done, answer)) if *done == operation => Answer::Repeated(answer.clone()),
            Some(_) | None => Answer::NotFound,
        }
    }

    fn take(&mut self, operation: Operation, resource: &str, ask: &Ask, keys: &Keys) -> Answer {
        let name = (ask.trip.clone(), ask.step.clone());
        let cancelled = || {
            let message = format!("{} cancelled {} before", ask.trip, ask.step);
            Answer::Refused { code: "cancelled".to_owned(), message }
        };
        if keys.step.as_ref().is_some_and(|key| self.tombstones.contains(key)) {
            return cancelled();
        }
        match self.orders.get(&name) {
            Some(Order { standing: Standing::Stands(_, answer), .. }) => return Answer::Repeated(answer.clone()),
            // The cancel came first. Only another round of the saga, which has another key, may ask again.
            Some(order) if order.step_key.is_none() || keys.step.is_none() || order.step_key == keys.step => return cancelled(),
            Some(_) | None => {}
        }
        if let Err(refused) = self.take_hold(operation, resource, ask) {
            return refused;
        }
        self.count(operation);
        let answer = json!({"confirmation": format!("{resource}/{}", ask.trip), "amount_cents": ask.amount_cents});
        let standing = Standing::Stands(operation, answer.clone());
        self.orders.insert(name, Order { amount_cents: ask.amount_cents, step_key: keys.step.clone(), standing });
        Answer::Done(answer)
    }

    fn take_hold(&mut self, operation: Operation, resource: &str, ask: &Ask) -> Result<(), Answer> {
        match operation {
            Operation::ReserveFlight | Operation::ReserveHotel | Operation::ReserveCar => {
                let left = self.stock.get_mut(resource).filter(|left| **left > 0);
                *left.ok_or_else(|| operation.refuse(resource))? -= 1;
            }
            Operation::Charge => {
                let balance = self.accounts.get_mut(resource).filter(|balance| **balance >= ask.amount_cents);
                *balance.ok_or_else(|| operation.refuse(resource))? -= ask.amount_cents;
            }
            Operation::Debit => self.put_in_transit(operation, resource, &ask.trip, ask.amount_cents)?,
            Operation::Credit => self.take_from_transit(operation, resource, &ask.trip, ask.amount_cents)?,
            Operation::CheckOut => {
                let stay = self.stays.get_mut(resource).filter(|stay| stay.open).ok_or_else(|| operation.refuse(resource))?;
                if stay.balance_cents != 0 {
                    let message = format!("the balance of {resource} is {} cents and not 0", stay.balance_cents);
                    return Err(Answer::Refused { code: "balance_not_settled".to_owned(), message });
                }
                stay.open = false;
            }
            Operation::SendEmail => {
                let Ask { trip, to, subject, .. } = ask.clone();
                self.emails.push(Email { trip, to, subject });
            }
            _ => {}
        }
        Ok(())
    }

    fn take_back(&mut self, operation: Operation, resource: &str, ask: &Ask, keys: &Keys) -> Answer {
        let name = (ask.trip.clone(), ask.step.clone());
        self.tombstones.extend(keys.undoes.clone());
        let Some(order) = self.orders.get(&name) else {
            let tombstone = Order { amount_cents: 0, step_key: keys.undoes.clone(), standing: Standing::TakenBack };
            self.orders.insert(name, tombstone);
            return Answer::Nothing(json!({"undone": false}));
        };
        // A cancel of an earlier round, or of another way to do it, comes late: what stands is not what it speaks of.
        if keys.undoes.is_some() && order.step_key.is_some() && order.step_key != keys.undoes {
            return Answer::Nothing(json!({"undone": false}));
        }
        let Standing::Stands(done, _) = order.standing else {
            return Answer::Repeated(json!({"undone": true}));
        };
        let amount_cents = order.amount_cents;
        if let Err(refused) = self.let_go(operation, done, resource, &ask.trip, amount_cents) {
            return refused;
        }
        if let Some(order) = self.orders.get_mut(&name) {
            order.standing = Standing::TakenBack;
        }
        self.count(operation);
        Answer::Done(json!({"undone": true}))
    }

    /// Undoes what `done` did. Undoing is semantic: one more than there is now, whatever there was before.
    fn let_go(&mut self, undo: Operation, done: Operation, resource: &str, trip: &str, cents: u64) -> Result<(), Answer> {
        match (undo, done) {
            (Operation::CancelFlight | Operation::CancelHotel | Operation::CancelCar, _) => {
                *self.stock.entry(resource.to_owned()).or_default() += 1;
            }
            (Operation::Refund, _) => *self.accounts.entry(resource.to_owned()).or_default() += cents,
            (Operation::Reverse, Operation::Credit) => self.put_in_transit(undo, resource, trip, cents)?,
            (Operation::Reverse, _) => self.take_from_transit(undo, resource, trip, cents)?,
            _ => {}
        }
        Ok(())
    }

    fn put_in_transit(&mut self, operation: Operation, account: &str, transfer: &str, cents: u64) -> Result<(), Answer> {
        let balance = self.accounts.get_mut(account).filter(|balance| **balance >= cents);
        *balance.ok_or_else(|| operation.refuse(account))? -= cents;
        *self.in_transit.entry(transfer.to_owned()).or_default() += cents;
        Ok(())
    }

    fn take_from_transit(&mut self, operation: Operation, account: &str, transfer: &str, cents: u64) -> Result<(), Answer> {
        let balance = self.accounts.get_mut(account).ok_or_else(|| operation.refuse(account))?;
        let Some(left) = self.in_transit.get(transfer).and_then(|in_transit| in_transit.checked_sub(cents)) else {
            let message = format!("nothing that {transfer} debited is in transit");
            return Err(Answer::Refused { code: "not_in_transit".to_owned(), message });
        };
        *balance += cents;
        self.in_transit.insert(transfer.to_owned(), left);
        self.in_transit.retain(|_, cents| *cents > 0);
        Ok(())
    }

    fn count(&mut self, operation: Operation) {
        *self.effects.entry(operation.name().to_owned()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operation::{CancelHotel, Charge, CheckOut, Credit, Debit, Refund, ReserveHotel, Reverse};

    fn ask(step: &str, amount_cents: u64) -> Ask {
        let (trip, step) = ("T1".to_owned(), step.to_owned());
        Ask { trip, step, amount_cents, by: String::new(), to: String::new(), subject: String::new() }
    }

    fn with_step_key(key: &str) -> Keys {
        Keys { step: Some(key.to_owned()), ..Keys::default() }
    }

    #[test]
    fn a_repeated_call_changes_nothing_even_with_a_fresh_key() {
        let mut world = World::default();
        let (asked, first) = (ask("reserve-hotel", 45_000), Keys { idempotency: Some("k1".to_owned()), ..Keys::default() });
        let second = Keys { idempotency: Some("k2".to_owned()), ..Keys::default() };
        assert!(matches!(world.perform(ReserveHotel, "H1", &asked, &first), Answer::Done(_)));
        assert!(matches!(world.perform(ReserveHotel, "H1", &asked, &first), Answer::Repeated(_)));
        assert!(matches!(world.perform(ReserveHotel, "H1", &asked, &second), Answer::Repeated(_)));
        assert_eq!((world.stock["H1"], world.effects["reserve-hotel"]), (0, 1));
        assert_eq!(world.perform(ReserveHotel, "H1", &ask("other", 1), &first), Answer::KeyReused);
    }

    #[test]
    fn a_cancel_that_comes_first_refuses_the_late_reservation() {
        let mut world = World::default();
        let undo = Keys { undoes: Some("round-0".to_owned()), ..Keys::default() };
        let cancel = world.perform(CancelHotel, "H1", &ask("reserve-hotel", 0), &undo);
        assert!(matches!(cancel, Answer::Nothing(_)));
        let late = world.perform(ReserveHotel, "H1", &ask("reserve-hotel", 0), &with_step_key("round-0"));
        assert_eq!(late.word(), "refused cancelled");
        assert_eq!((world.stock["H1"], world.effects.len()), (1, 0));
        let next_round = world.perform(ReserveHotel, "H1", &ask("reserve-hotel", 0), &with_step_key("round-1"));
        assert_eq!(next_round.word(), "done");
    }

    #[test]
    fn a_refund_gives_back_what_was_charged_once() {
        let mut world = World::default();
        world.perform(Charge, "A", &ask("charge", 87_000), &Keys::default());
        world.perform(Refund, "A", &ask("charge", 0), &Keys::default());
        world.perform(Refund, "A", &ask("charge", 0), &Keys::default());
        assert_eq!((world.accounts["A"], world.effects["refund"]), (100_000, 1));
    }

    /// A tombstone was forgotten when another round's reservation took its place: the first round's, if it came after that was
    /// cancelled, found another key than its own and took a room that nobody gave back. Tombstones are kept by step key.
    #[test]
    fn a_reservation_of_an_earlier_round_is_refused_after_a_later_round_was_undone() {
        let mut world = World::default();
        for round in ["round-0", "round-1"] {
            world.perform(ReserveHotel, "H1", &ask("reserve-hotel", 0), &with_step_key(round));
            let undo = Keys { undoes: Some(round.to_owned()), ..Keys::default() };
            assert_eq!(world.perform(CancelHotel, "H1", &ask("reserve-hotel", 0), &undo).word(), "done");
        }
        let late = world.perform(ReserveHotel, "H1", &ask("reserve-hotel", 0), &with_step_key("round-0"));
        assert_eq!((late.word().as_str(), world.stock["H1"]), ("refused cancelled", 1));
    }

    #[test]
    fn a_repeated_cancel_of_an_earlier_round_does_not_take_the_next_rounds_room() {
        let mut world = World::default();
        let undo = Keys { undoes: Some("round-0".to_owned()), ..Keys::default() };
        world.perform(ReserveHotel, "H1", &ask("reserve-hotel", 0), &with_step_key("round-0"));
        world.perform(CancelHotel, "H1", &ask("reserve-hotel", 0), &undo);
        world.perform(ReserveHotel, "H1", &ask("reserve-hotel", 0), &with_step_key("round-1"));
        let late = world.perform(CancelHotel, "H1", &ask("reserve-hotel", 0), &undo);
        assert_eq!((late.word().as_str(), world.stock["H1"]), ("nothing", 0));
    }

    #[test]
    fn what_is_debited_is_in_transit_until_it_is_credited_or_put_back() {
        let mut world = World::default();
        world.accounts.insert("B".to_owned(), 0);
        let state = |world: &World| (world.accounts["A"], world.in_transit.get("T1").copied(), world.accounts["B"]);
        assert_eq!(world.perform(Credit, "B", &ask("credit", 400), &Keys::default()).word(), "refused not_in_transit");
        world.perform(Debit, "A", &ask("debit", 400), &Keys::default());
        world.perform(Debit, "A", &ask("debit", 400), &Keys::default());
        assert_eq!(state(&world), (99_600, Some(400), 0));
        assert_eq!(world.perform(Credit, "C", &ask("credit", 400), &Keys::default()).word(), "refused no_account");
        world.perform(Credit, "B", &ask("credit", 400), &Keys::default());
        world.perform(Credit, "B", &ask("credit", 400), &Keys::default());
        assert_eq!(state(&world), (99_600, None, 400));
        assert_eq!(world.perform(Reverse, "A", &ask("debit", 0), &Keys::default()).word(), "refused not_in_transit");
        assert_eq!(world.perform(Reverse, "B", &ask("credit", 0), &Keys::default()).word(), "done");
        assert_eq!(state(&world), (99_600, Some(400), 0));
        assert_eq!(world.perform(Reverse, "A", &ask("debit", 0), &Keys::default()).word(), "done");
        assert_eq!(state(&world), (100_000, None, 0));
    }

    #[test]
    fn a_reversed_debit_is_back_once_and_refused_if_it_comes_late() {
        let mut world = World::default();
        world.perform(Debit, "A", &ask("debit", 400), &Keys::default());
        world.perform(Reverse, "A", &ask("debit", 0), &Keys::default());
        world.perform(Reverse, "A", &ask("debit", 0), &Keys::default());
        assert_eq!(world.perform(Debit, "A", &ask("debit", 400), &Keys::default()).word(), "refused cancelled");
        assert_eq!((world.accounts["A"], world.in_transit.len()), (100_000, 0));
    }

    #[test]
    fn a_stay_is_checked_out_once_and_only_when_it_is_settled() {
        let mut world = World::default();
        let stay = |balance_cents| Stay { balance_cents, open: true };
        world.stays = BTreeMap::from([("s1".to_owned(), stay(0)), ("s2".to_owned(), stay(-4000))]);
        let mut out = |stay: &str, step| world.perform(CheckOut, stay, &ask(step, 0), &Keys::default()).word();
        assert_eq!(out("s1", "check-out[s1]"), "done");
        assert_eq!(out("s1", "check-out[s1]"), "repeated");
        assert_eq!(out("s1", "another"), "refused not_opened");
        assert_eq!(out("s2", "check-out[s2]"), "refused balance_not_settled");
        assert_eq!(out("s9", "check-out[s9]"), "refused not_opened");
    }
}
