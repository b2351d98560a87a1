//! The JSON types of the HTTP API: what the host answers and what clients send, with their OpenAPI schemas.
//!
//! The types hold data and no logic. This crate knows neither the engine nor a web framework, so that the host, the command line
//! and other clients can all use it. The host converts its own types to these in `api/present/`.

mod names;

pub mod value;

pub mod time;

pub mod error;

pub mod denial;

pub mod saga;

pub mod lock;

pub mod preview;

pub mod journal;

pub mod module;

pub mod definition;

pub mod verb;

pub mod stuck;

pub mod job;

pub mod event;

pub mod import;

pub mod aggregate;

pub mod trace;

pub mod view;

pub mod policy;

pub mod schedule;

pub mod host;

pub use time::Time;
pub use value::Json;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use serde::Serialize;

    use super::*;

    /// Fault C2-36: two types were called `Step`. A description of the API knows types by their last name only, and the second of
    /// one name replaced the first without a word.
    #[test]
    fn c2_36_no_two_types_have_one_name() {
        let mut known: BTreeMap<String, String> = BTreeMap::new();
        for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let types = text.lines().filter_map(|line| {
                let line = line.trim_start();
                line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "))
            });
            let names = types.map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned());
            // What a macro names has no name in its definition.
            for name in names.filter(|name| !name.is_empty()) {
                let first = known.insert(name.clone(), path.display().to_string());
                assert_eq!(first, None, "{name} is also in {}", path.display());
            }
        }
        assert!(known.len() > 50, "{known:?}");
    }

    #[test]
    fn a_name_is_the_same_in_json_and_in_words() {
        fn check<T: Serialize + Copy>(all: &[T], name: fn(T) -> &'static str) {
            for value in all {
                assert_eq!(serde_json::to_value(value).unwrap(), name(*value));
            }
        }
        check(saga::Status::ALL, saga::Status::as_str);
        check(saga::StepStatus::ALL, saga::StepStatus::as_str);
        check(saga::RollbackReason::ALL, saga::RollbackReason::as_str);
        check(saga::Direction::ALL, saga::Direction::as_str);
        check(saga::StuckCode::ALL, saga::StuckCode::as_str);
        check(denial::DenialReason::ALL, denial::DenialReason::as_str);
        check(denial::Permit::ALL, denial::Permit::as_str);
        check(definition::DefinitionFormat::ALL, definition::DefinitionFormat::as_str);
        check(definition::Kind::ALL, definition::Kind::as_str);
        check(definition::OnUnknown::ALL, definition::OnUnknown::as_str);
        check(definition::OnExhausted::ALL, definition::OnExhausted::as_str);
        check(definition::OnLocked::ALL, definition::OnLocked::as_str);
        check(definition::EachMode::ALL, definition::EachMode::as_str);
        check(preview::Certainty::ALL, preview::Certainty::as_str);
        check(journal::RecordType::ALL, journal::RecordType::as_str);
        check(journal::Resolution::ALL, journal::Resolution::as_str);
        check(job::JobVerb::ALL, job::JobVerb::as_str);
        check(job::JobStatus::ALL, job::JobStatus::as_str);
        check(schedule::Overlap::ALL, schedule::Overlap::as_str);
        check(schedule::ScheduleStatus::ALL, schedule::ScheduleStatus::as_str);
        check(trace::TraceIdKind::ALL, trace::TraceIdKind::as_str);
        check(trace::TraceNodeKind::ALL, trace::TraceNodeKind::as_str);
        check(verb::Verb::ALL, verb::Verb::as_str);
    }
}
