//! Which moments a schedule names: once, or by its cron expression in its time zone.

use amends_core::{
    Instant,
    refused::Refused,
    schedule::{self, Reason, When},
};

use super::cron::Cron;

/// The moments that a schedule names.
pub(crate) enum Calendar {
    Once(Instant),
    Cron(Box<Cron>),
    /// Its expression cannot be read by this host any more: another library, or another database of time zones.
    Lost(Reason),
}

impl Calendar {
    pub(crate) fn of(when: &When) -> Self {
        match when {
            When::At(at) | When::After { at, .. } => Self::Once(*at),
            When::Cron { expression, zone } => match Cron::read(expression, zone) {
                Ok(cron) => Self::Cron(Box::new(cron)),
                Err(bad) => {
                    let message = format!("`{expression}` in zone {zone} cannot be read by this host any more: {bad}");
                    Self::Lost(Reason::Refused(Refused { code: bad.code(), message }))
                }
            },
        }
    }
}

impl schedule::Calendar for Calendar {
    fn after(&self, moment: Instant) -> Option<Instant> {
        match self {
            Self::Once(at) => Some(*at).filter(|at| *at > moment),
            Self::Cron(cron) => cron.after(moment),
            Self::Lost(_) => None,
        }
    }

    fn lost(&self) -> Option<Reason> {
        match self {
            Self::Lost(why) => Some(why.clone()),
            Self::Once(_) | Self::Cron(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
