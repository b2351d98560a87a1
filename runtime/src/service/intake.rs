//! The way into the engine: a request goes in, its committed answer comes out. New work is refused while the disk is nearly full.

use tokio::sync::{broadcast, oneshot};

use crate::engine::{
    driver::Engine,
    kernel::IsLow,
    port::{Answer, Change, OfSchedule, Refusal, RefusalCode, Request},
};

/// Takes requests for the engine.
#[derive(Clone)]
pub struct Intake {
    engine: Engine,
    is_low: IsLow,
}

impl Intake {
    /// The way into this engine. `is_low` says whether the disk is too full for new work.
    pub fn new(engine: Engine, is_low: IsLow) -> Self {
        Self { engine, is_low }
    }

    /// Asks the engine and waits for the committed answer. A full queue refuses at once.
    pub async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        let request = request(answer);
        if brings_work(&request) && (self.is_low)() {
            let message = "the disk is nearly full: no new sagas, events and modules are taken";
            return Err(Refusal::new(RefusalCode::LowSpace, message).hint("make room on the disk of the data folder"));
        }
        self.engine.ask(request)?;
        // A dropped channel is a stopping host: what was asked may or may not be durable, and asking again is safe.
        answered.await.unwrap_or_else(|_| {
            Err(Refusal::new(RefusalCode::Stopping, "the host is stopping").hint("ask again once it is back"))
        })
    }

    /// Every committed change of a saga from now on. A receiver that falls behind is told so and reads the journal again.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.engine.changes()
    }
}

/// Whether a request brings new work. Everything else may be what open work needs to end, and is taken on a full disk too.
fn brings_work(request: &Request) -> bool {
    match request {
        Request::Start(..) | Request::Deploy(..) => true,
        Request::Schedule(_, request, _) => match request.asked {
            OfSchedule::Put(_) => true,
            OfSchedule::Pause | OfSchedule::Resume | OfSchedule::Trigger(_) | OfSchedule::Remove => false,
        },
        // A signal: the saga that it is addressed to may need it to end.
        Request::Publish(_, publish, _) => publish.to.is_none(),
        Request::Verb(..)
        | Request::Activate(..)
        | Request::SetGrants(..)
        | Request::Remove(..)
        | Request::Job(..)
        | Request::StopJob(..)
        | Request::AwaitJob(..)
        | Request::Modules(..)
        | Request::Definitions(..) => false,
    }
}
