//! The sagas and legs that a filter matches: the same rule for lists, groups, dry runs and jobs.

use super::SagaFilter;
use crate::{Failure, Saga, event::Why, id::StepPath, view::StuckView};

impl SagaFilter {
    /// The filter has a condition on stuck legs, and not only on whole sagas.
    pub fn is_about_legs(&self) -> bool {
        self.step.is_some() || self.failure.is_some()
    }

    /// The saga matches all conditions.
    pub fn fits(&self, saga: &Saga) -> bool {
        let started = saga.started();
        self.definition.as_ref().is_none_or(|definition| *definition == started.definition)
            && self.status.is_none_or(|status| status == saga.status())
            && self.module.as_ref().is_none_or(|module| *module == started.module)
            && self.version.is_none_or(|version| version == saga.code().version)
            && (!self.is_about_legs() || !self.legs(saga).is_empty())
    }

    /// The stuck legs that match; all stuck legs, if the filter has no condition on legs.
    pub fn legs(&self, saga: &Saga) -> Vec<StuckView> {
        let mut legs = saga.stuck();
        let step = self.step.as_deref().map(StepPath::new);
        legs.retain(|stuck| {
            let path = &stuck.leg.path;
            step.as_ref().is_none_or(|step| path.is_in(step) || path.without_elements().is_in(step))
                && self.failure.as_ref().is_none_or(|failure| failure == failure_code(&stuck.why))
        });
        legs
    }
}

/// The failure code of a stuck leg, or, without a failure, the name of the reason.
pub fn failure_code(why: &Why) -> &str {
    match why {
        Why::Exhausted(Failure { code, .. })
        | Why::Refused(Failure { code, .. })
        | Why::Unknown(Failure { code, .. })
        | Why::PivotInDoubt(Failure { code, .. }) => code,
        Why::Denied(_) => "denied",
        Why::HostDied => "host_died",
        Why::JournalFull => "journal_full",
    }
}
