//! Answers to the commands of a policy.

use crate::Decided;
use crate::bindings::policies::exports::amends::module::policy as wit;

/// The answer to a command that a policy has sent.
///
/// It comes with the key of the cause for which the command was sent: [`Reaction::key`](crate::Reaction::key).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AnswerTo {
    /// The name of the aggregate that was asked.
    pub aggregate: String,
    /// Its id.
    pub id: String,
    /// The command's name, as `reserve-credit`.
    pub name: String,
    /// The command's id.
    pub command: String,
    /// What was decided.
    pub answer: Decided,
}

impl From<&wit::AnswerTo> for AnswerTo {
    fn from(to: &wit::AnswerTo) -> AnswerTo {
        AnswerTo {
            aggregate: to.aggregate.clone(),
            id: to.id.clone(),
            name: to.name.clone(),
            command: to.command.clone(),
            answer: Decided::from(&to.answer),
        }
    }
}
