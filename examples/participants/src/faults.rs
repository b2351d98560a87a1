//! Faults on demand: which calls of which operation go wrong, and how.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::operation::Operation;
use crate::world::Stay;

/// Makes calls of one operation go wrong.
///
/// ```json
/// {"operation": "cancel-hotel", "times": 3, "fault": "fail"}
/// {"operation": "reserve-hotel", "fault": "slow", "delay_ms": 40000}
/// {"operation": "charge", "times": 1, "fault": "kill", "pid": 4711}
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Of which operation.
    pub operation: Operation,
    /// How many calls go well first.
    #[serde(default)]
    pub skip: u32,
    /// How many calls go wrong then; all of them if it is missing.
    #[serde(default)]
    pub times: Option<u32>,
    /// The effect takes hold first, where the fault leaves a choice: `fail`, `slow` and `hold`.
    #[serde(default)]
    pub after_effect: bool,
    /// What goes wrong.
    #[serde(flatten)]
    pub fault: Fault,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// Refused with 409 and no effect.
    Refuse,
    /// Status 500.
    Fail,
    /// It takes this much longer.
    Slow {
        /// How much, in milliseconds.
        delay_ms: u64,
    },
    /// It stands still until it is released.
    Hold,
    /// The effect takes hold, and the connection closes without an answer.
    Drop,
    /// The effect takes hold, and before an answer this process gets a SIGKILL.
    Kill {
        /// The host's process.
        pid: u32,
    },
}

impl Rule {
    /// Every call of this operation goes wrong.
    pub fn every(operation: Operation, fault: Fault) -> Rule {
        Rule { operation, skip: 0, times: None, after_effect: false, fault }
    }

    /// The next calls of this operation go wrong.
    pub fn next(times: u32, operation: Operation, fault: Fault) -> Rule {
        Rule { times: Some(times), ..Rule::every(operation, fault) }
    }

    /// Lets this many calls go well first.
    pub fn after(self, skip: u32) -> Rule {
        Rule { skip, ..self }
    }

    /// Lets the effect take hold first.
    pub fn after_effect(self) -> Rule {
        Rule { after_effect: true, ..self }
    }
}

/// What `POST /control` takes. Everything that is missing stays as it is; it happens in this order.
///
/// ```json
/// {"reset": true, "stock": {"K1": 0}, "accounts": {"A": 10000}, "rules": [{"operation": "charge", "fault": "fail"}]}
/// {"clear": true, "release": ["reserve-hotel"]}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Forgets everything: stock, accounts, effects, rules, calls.
    pub reset: bool,
    /// Forgets the rules.
    pub clear: bool,
    /// Sets what is left of these flights, hotels and cars.
    pub stock: BTreeMap<String, u32>,
    /// Sets what is left on these accounts, in cents.
    pub accounts: BTreeMap<String, u64>,
    /// Sets these guests' stays, as `{"s1": {"balance_cents": 0}}`.
    pub stays: BTreeMap<String, Stay>,
    /// Adds rules; the first that fits a call decides.
    pub rules: Vec<Rule>,
    /// Lets the calls go on that these operations hold.
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
