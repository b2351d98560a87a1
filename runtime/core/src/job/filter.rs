//! Which sagas a filter is about, and which of their legs: the same for lists, groups, dry runs and jobs.

use super::SagaFilter;
use crate::{Failure, Saga, event::Why, id::StepPath, view::StuckView};

impl SagaFilter {
    /// It is about stuck legs, and not about whole sagas.
    pub fn is_about_legs(&self) -> bool {
        self.step.is_some() || self.failure.is_some()
    }

    /// The saga is as it says.
    pub fn fits(&self, saga: &Saga) -> bool {
        let started = saga.started();
        self.definition.as_ref().is_none_or(|definition| *definition == started.definition)
            && self.status.is_none_or(|status| status == saga.status())
            && self.module.as_ref().is_none_or(|module| *module == started.module)
            && self.version.is_none_or(|version| version == saga.code().version)
            && (!self.is_about_legs() || !self.legs(saga).is_empty())
    }

    /// The stuck legs that it is about: all, if it says nothing of them.
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

/// What a stuck leg failed for: the failure's code, or where there is none the reason.
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
