//! What a guest is called for: which of its functions, with what, and what its result says.
//!
//! The one place of the host that looks into [`Work`]; everything around a call is the same whatever it is for.

use amends_core::{
    event::Attempt,
    id::Direction,
    outcome::{Left, Outcome, Report},
    value::Failure,
};
use wasmtime::{Store, component::Instance};

use super::{
    Shared,
    attempt::{self, Deadline, End, Fate},
    bindings::exports::amends::module::saga,
    convert::{self, Bounds},
    decide,
    fault::{Charge, Fault},
    groups::Way,
    guest::Guest,
    handle,
    limits::usize_of,
    modules::{self, Ready},
    project,
    turn::Lane,
};
use crate::engine::guests::{CallFault, CallId, GuestCall, GuestReport, Work};

/// Makes a call and says what came of it.
pub(super) async fn run(shared: &Shared, module: &Ready, call: &GuestCall, deadline: Deadline, lane: &Lane) -> GuestReport {
    let key = call.work.mark().key;
    let bounds = Bounds { payload_bytes_max: usize_of(shared.limits.payload), now: call.now, key };
    match &call.work {
        Work::Step(step) => {
            let direction = step.attempt.leg.direction;
            let end = match convert::call(call, step, bounds.payload_bytes_max) {
                Ok(told) => {
                    attempt::run(shared, module, call, deadline, lane, move |module, instance, store| {
                        Box::pin(of_step(module, instance, store, direction, told, bounds))
                    })
                    .await
                }
                Err(fault) => End::before_it_began(fault),
            };
            step_ended(step.attempt.clone(), end)
        }
        Work::Decide(decide) => {
            let end = match decide::call(decide, bounds.payload_bytes_max) {
                Ok(told) => {
                    let count = decide.commands.len();
                    attempt::run(shared, module, call, deadline, lane, move |module, instance, store| {
                        Box::pin(async move {
                            let aggregates = module.aggregates().ok_or_else(|| modules::not_exported("aggregate"))?;
                            let decided = aggregates.decide.call(instance, store, &told).await?;
                            Ok(decide::decided(decided, count, bounds)?)
                        })
                    })
                    .await
                }
                Err(fault) => End::before_it_began(fault),
            };
            GuestReport::Decided(end.said.map_err(call_fault))
        }
        Work::Fold(fold) => {
            let end = match decide::fold(fold, bounds.payload_bytes_max) {
                Ok(told) => {
                    attempt::run(shared, module, call, deadline, lane, move |module, instance, store| {
                        Box::pin(async move {
                            let aggregates = module.aggregates().ok_or_else(|| modules::not_exported("aggregate"))?;
                            let state = aggregates.evolve.call(instance, store, &told).await?;
                            Ok(bounds.payload(state, "state")?)
                        })
                    })
                    .await
                }
                Err(fault) => End::before_it_began(fault),
            };
            GuestReport::Folded(end.said.map_err(call_fault))
        }
        Work::Project(project) => {
            let end = match project::batch(project, bounds.payload_bytes_max) {
                Ok(told) => {
                    attempt::run(shared, module, call, deadline, lane, move |module, instance, store| {
                        Box::pin(async move {
                            let projections = module.projections().ok_or_else(|| modules::not_exported("projection"))?;
                            let failed = projections.project.call(instance, store, &told).await?.err();
                            Ok(failed.map(|failure| bounds.failure(failure, "failed")))
                        })
                    })
                    .await
                }
                Err(fault) => End::before_it_began(fault),
            };
            GuestReport::Projected(match end.said {
                Ok(None) => Ok(()),
                Ok(Some(failure)) => Err(CallFault { failure, is_hosts: false }),
                Err(fate) => Err(call_fault(fate)),
            })
        }
        Work::Query(query) => {
            let end = match project::question(query, bounds.payload_bytes_max) {
                Ok(told) => {
                    attempt::run(shared, module, call, deadline, lane, move |module, instance, store| {
                        Box::pin(async move {
                            let projections = module.projections().ok_or_else(|| modules::not_exported("projection"))?;
                            match projections.query.call(instance, store, &told).await? {
                                Ok(answer) => Ok(Ok(bounds.payload(answer, "answer")?)),
                                Err(failure) => Ok(Err(bounds.failure(failure, "refused"))),
                            }
                        })
                    })
                    .await
                }
                Err(fault) => End::before_it_began(fault),
            };
            GuestReport::Queried(end.said.map_err(call_fault))
        }
        Work::Handle(handle) => {
            let end = match handle::call(handle, bounds.payload_bytes_max) {
                Ok(told) => {
                    attempt::run(shared, module, call, deadline, lane, move |module, instance, store| {
                        Box::pin(async move {
                            let policies = module.policies().ok_or_else(|| modules::not_exported("policy"))?;
                            match policies.handle.call(instance, store, &told).await? {
                                Ok(reaction) => Ok(Ok(handle::wishes(reaction, bounds)?)),
                                Err(failure) => Ok(Err(bounds.failure(failure, "failed"))),
                            }
                        })
                    })
                    .await
                }
                Err(fault) => End::before_it_began(fault),
            };
            GuestReport::Handled(match end.said {
                Ok(Ok(wishes)) => Ok(wishes),
                Ok(Err(failure)) => Err(CallFault { failure, is_hosts: false }),
                Err(fate) => Err(call_fault(fate)),
            })
        }
    }
}

/// Which way it leads, for its place.
pub(super) fn way(work: &Work) -> Way {
    match work {
        Work::Step(step) => match step.attempt.leg.direction {
            Direction::Forward => Way::Forward,
            Direction::Undo(_) | Direction::Check => Way::Back,
        },
        Work::Decide(_) | Work::Fold(_) | Work::Project(_) | Work::Query(_) | Work::Handle(_) => Way::Forward,
    }
}

/// What is reported of a call that the host could not make, or not to its end.
pub(super) fn failed(id: CallId, fault: Fault, left: Left) -> GuestReport {
    match id {
        CallId::Step(attempt) => step_ended(attempt, End { said: Err(Fate::Fault(fault)), left, messages: Vec::new() }),
        CallId::Decide { .. } => GuestReport::Decided(Err(call_fault(Fate::Fault(fault)))),
        CallId::Fold { .. } => GuestReport::Folded(Err(call_fault(Fate::Fault(fault)))),
        CallId::Project { .. } => GuestReport::Projected(Err(call_fault(Fate::Fault(fault)))),
        CallId::Query { .. } => GuestReport::Queried(Err(call_fault(Fate::Fault(fault)))),
        CallId::Handle { .. } => GuestReport::Handled(Err(call_fault(Fate::Fault(fault)))),
    }
}

/// What is said of a call of pure code that came to nothing.
fn call_fault(fate: Fate) -> CallFault {
    match fate {
        Fate::Fault(fault) => {
            let is_hosts = fault.code.charge() == Charge::Host;
            CallFault { failure: Failure::new(fault.code.as_str(), fault.message), is_hosts }
        }
        Fate::Denied(denial) => {
            let message = format!(
                "it called {}, and aggregates, projections and policies reach nothing outside: a step of a saga may",
                denial.origin.escape_debug()
            );
            CallFault { failure: Failure::new("denied", message), is_hosts: false }
        }
    }
}

fn step_ended(attempt: Attempt, end: End<Outcome>) -> GuestReport {
    let outcome = match end.said {
        Ok(outcome) => outcome,
        Err(Fate::Denied(denial)) => Outcome::Denied(denial),
        Err(Fate::Fault(fault)) => fault.into_outcome(),
    };
    GuestReport::Step(Report { attempt, outcome, left: end.left, messages: end.messages })
}

async fn of_step(
    module: &Ready,
    instance: Instance,
    store: &mut Store<Guest>,
    direction: Direction,
    call: saga::Call,
    bounds: Bounds,
) -> wasmtime::Result<Outcome> {
    let sagas = module.sagas().ok_or_else(|| modules::not_exported("saga"))?;
    let outcome = match direction {
        Direction::Forward => {
            let outcome = sagas.execute.call(instance, store, &call).await?;
            convert::outcome(outcome, &call.path, bounds)
        }
        Direction::Undo(_) => {
            let outcome = sagas.compensate.call(instance, store, &call).await?;
            convert::undo_outcome(outcome, &call.path, bounds)
        }
        Direction::Check => {
            let outcome = sagas.check.call(instance, store, &call).await?;
            convert::check_outcome(outcome, bounds)
        }
    };
    Ok(outcome?)
}
