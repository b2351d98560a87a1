//! Faults on demand: rules for the calls of an operation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::operation::Operation;
use crate::world::Stay;

/// A fault for calls of one operation.
///
/// ```json
/// {"operation": "cancel-hotel", "times": 3, "fault": "fail"}
/// {"operation": "reserve-hotel", "fault": "slow", "delay_ms": 40000}
/// {"operation": "charge", "times": 1, "fault": "kill", "pid": 4711}
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The operation.
    pub operation: Operation,
    /// The number of calls that succeed first.
    #[serde(default)]
    pub skip: u32,
    /// The number of calls that fail after them; all if it is missing.
    #[serde(default)]
    pub times: Option<u32>,
    /// Whether the effect happens before the fault; for `fail`, `slow` and `hold`.
    #[serde(default)]
    pub after_effect: bool,
    /// The fault.
    #[serde(flatten)]
    pub fault: Fault,
}

/// The fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// Refused with 409 and no effect.
    Refuse,
    /// Status 500.
    Fail,
    /// The call takes longer.
    Slow {
        /// The delay, in milliseconds.
        delay_ms: u64,
    },
    /// The call waits until it is released.
    Hold,
    /// The effect happens, and the connection closes without an answer.
    Drop,
    /// The effect happens, and this process gets a SIGKILL before the answer.
    Kill {
        /// The host's process.
        pid: u32,
    },
}

impl Rule {
    /// A rule for every call of this operation.
    pub fn every(operation: Operation, fault: Fault) -> Rule {
        Rule { operation, skip: 0, times: None, after_effect: false, fault }
    }

    /// A rule for the next calls of this operation.
    pub fn next(times: u32, operation: Operation, fault: Fault) -> Rule {
        Rule { times: Some(times), ..Rule::every(operation, fault) }
    }

    /// Lets this many calls succeed first.
    pub fn after(self, skip: u32) -> Rule {
        Rule { skip, ..self }
    }

    /// Lets the effect happen before the fault.
    pub fn after_effect(self) -> Rule {
        Rule { after_effect: true, ..self }
    }
}

/// The body of `POST /control`. Its fields are applied in this order; missing fields change nothing.
///
/// ```json
/// {"reset": true, "stock": {"K1": 0}, "accounts": {"A": 10000}, "rules": [{"operation": "charge", "fault": "fail"}]}
/// {"clear": true, "release": ["reserve-hotel"]}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Restores the initial state: stock, accounts, effects, rules, calls.
    pub reset: bool,
    /// Removes the rules.
    pub clear: bool,
    /// Sets the stock of these flights, hotels and cars.
    pub stock: BTreeMap<String, u32>,
    /// Sets the balances of these accounts, in cents.
    pub accounts: BTreeMap<String, u64>,
    /// Sets these guests' stays, as `{"s1": {"balance_cents": 0}}`.
    pub stays: BTreeMap<String, Stay>,
    /// Adds rules; the first rule that matches a call applies.
    pub rules: Vec<Rule>,
    /// Releases the held calls of these operations.
    pub release: Vec<Operation>,
}

/// Takes the fault for the next call of this operation, if one is due.
pub(crate) fn next_fault(rules: &mut [Rule], operation: Operation) -> Option<Rule> {
    let rule = rules.iter_mut().find(|rule| rule.operation == operation && rule.times != Some(0))?;
    if rule.skip > 0 {
        rule.skip -= 1;
        return None;
    }
    rule.times = rule.times.map(|times| times - 1);
    Some(rule.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_plain_json() -> Result<(), serde_json::Error> {
        let control: Control = serde_json::from_str(
            r#"{"rules": [{"operation": "cancel-hotel", "times": 3, "fault": "fail"},
                          {"operation": "reserve-hotel", "fault": "slow", "delay_ms": 40000}]}"#,
        )?;
        let slow = Rule::every(Operation::ReserveHotel, Fault::Slow { delay_ms: 40_000 });
        assert_eq!(control.rules, [Rule::next(3, Operation::CancelHotel, Fault::Fail), slow]);
        Ok(())
    }

    #[test]
    fn a_rule_skips_then_bites_then_is_spent() {
        let mut rules = [Rule::next(2, Operation::Charge, Fault::Drop).after(1)];
        let bites: Vec<bool> = (0..5).map(|_| next_fault(&mut rules, Operation::Charge).is_some()).collect();
        assert_eq!(bites, [false, true, true, false, false]);
        assert_eq!(next_fault(&mut rules, Operation::Refund), None);
    }
}
