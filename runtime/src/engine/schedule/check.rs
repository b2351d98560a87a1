//! What can be said against a schedule without knowing what there is. It is said before the shard is asked, which has no time for it.

use amends_core::{
    Instant,
    plain::shown,
    schedule::{Spec, When},
};

use super::{
    CATCH_UP_MS_RANGE, JITTER_MS_MAX,
    cron::{BadCron, Cron},
};
use crate::engine::refusal::{Refusal, RefusalCode};

/// What a schedule is made of, which can be so.
#[derive(Clone, Debug)]
pub struct CheckedSpec(Spec);

impl CheckedSpec {
    /// Checks everything that needs no knowledge of what is deployed and what the time is, and spells the zone as its database does and the
    /// expression with single blanks.
    ///
    /// It takes some tens of milliseconds to find that an expression never fires.
    ///
    /// # Errors
    ///
    /// What is wrong and what to write instead: `bad_schedule`, `bad_cron`, `never_fires` or `unknown_zone`.
    pub fn new(mut spec: Spec) -> Result<Self, Refusal> {
        let refused = |message: String| Refusal::new(RefusalCode::BadSchedule, message);
        if spec.jitter_ms > JITTER_MS_MAX {
            return Err(refused(format!("a jitter of {}s is too long", spec.jitter_ms / 1_000)).hint("give at most 1h"));
        }
        if !CATCH_UP_MS_RANGE.contains(&spec.catch_up_ms) {
            let said = format!("a catch-up window of {}s is out of range", spec.catch_up_ms / 1_000);
            return Err(refused(said).hint("give 10s to 31d"));
        }
        match &mut spec.when {
            When::At(at) | When::After { at, .. } if *at > MOMENT_MAX => {
                Err(refused("that moment is beyond the year 9998".to_owned()).hint("give an earlier one"))
            }
            When::At(_) | When::After { .. } => Ok(Self(spec)),
            When::Cron { .. } if spec.id.is_some() => {
                Err(refused("a schedule that fires more than once gives each saga an id of its own".to_owned())
                    .hint("leave the id out"))
            }
            When::Cron { expression, zone } => {
                *expression = expression.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
                let cron = Cron::parse(expression, zone).map_err(|bad| bad_cron(expression, zone, &bad))?;
                cron.zone().clone_into(zone);
                Ok(Self(spec))
            }
        }
    }

    pub(super) fn into_spec(self) -> Spec {
        self.0
    }
}

/// 9999-01-01T00:00:00Z: with its jitter and its window, a moment stays in the calendar.
const MOMENT_MAX: Instant = Instant(253_370_764_800_000);

fn bad_cron(expression: &str, zone: &str, bad: &BadCron) -> Refusal {
    let (expression, zone) = (shown(expression).escape_debug(), shown(zone).escape_debug());
    match bad {
        BadCron::Expression(why) => Refusal::new(RefusalCode::BadCron, format!("`{expression}` is no cron expression: {why}"))
            .hint("write it as `0 3 * * mon-fri`: minute, hour, day of month, month, day of week"),
        BadCron::NeverFires => Refusal::new(RefusalCode::NeverFires, format!("`{expression}` never fires: {bad}"))
            .hint("choose a day that the month has; `0 0 28 2 *` fires once a year"),
        BadCron::UnknownZone(nearest) => {
            let nearest =
                nearest.as_ref().map_or("use an IANA name, as Europe/Berlin".to_owned(), |name| format!("did you mean {name}?"));
            Refusal::new(RefusalCode::UnknownZone, format!("there is no time zone `{zone}`")).hint(nearest)
        }
    }
}
