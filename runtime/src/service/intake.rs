//! The way into the engine: a request goes in, its committed answer comes out. New work is refused while the disk is nearly full.

use tokio::sync::{broadcast, oneshot, watch};

use crate::engine::{
    driver::Engine,
    kernel::IsLow,
    port::{Answer, Change, Refusal, RefusalCode, Request},
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
        self.put(request)?.answer().await
    }

    /// Asks the engine now, before what is put after it; the committed answer is to be waited for. A full queue refuses at once.
    pub fn put<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<Asked<T>, Refusal> {
        let (answer, answered) = oneshot::channel();
        let request = request(answer);
        if request.brings_work() && (self.is_low)() {
            let message = "the disk is nearly full: no new sagas, events and modules are taken";
            return Err(Refusal::new(RefusalCode::LowSpace, message).hint("make room on the disk of the data folder"));
        }
        self.engine.ask(request)?;
        Ok(Asked(answered))
    }

    /// Says that events were recorded since the last look.
    pub fn recorded(&self) -> watch::Receiver<u64> {
        self.engine.recorded()
    }

    /// Every committed change of a saga from now on. A receiver that falls behind is told so and reads the journal again.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.engine.changes()
    }
}

/// What was asked, and is not answered.
pub struct Asked<T>(oneshot::Receiver<Result<T, Refusal>>);

impl<T> Asked<T> {
    /// The committed answer.
    pub async fn answer(self) -> Result<T, Refusal> {
        // A dropped channel is a stopping host: what was asked may or may not be durable, and asking again is safe.
        self.0.await.unwrap_or_else(|_| {
            Err(Refusal::new(RefusalCode::Stopping, "the host is stopping").hint("ask again once it is back"))
        })
    }
}

#[cfg(test)]
mod tests {
    use amends_core::{Payload, id::SagaId};

    use super::*;
    use crate::{
        engine::port::Start,
        service::testing::{TestHost, origin, run},
    };

    fn start(host: &TestHost, id: &str) -> String {
        let start = Start {
            definition: "trip".to_owned(),
            id: SagaId::new(id).unwrap(),
            input: Payload::json("{}"),
            input_hash: [0; 32],
            incarnation: [1; 16],
            trace_context: None,
            wait: false,
        };
        let refusal = run(host.services.intake.ask(|answer| Request::Start(origin(), start, answer))).unwrap_err();
        format!("{:?}: {}", refusal.code, refusal.message)
    }

    /// With several hosts over one store, a host that was cut off for a while comes back to a shard that has another owner. It
    /// must end that shard, and may neither acknowledge anything nor take its process and its other shards down with it.
    #[test]
    fn a_host_whose_shard_another_host_took_refuses_everything_and_goes_on_without_it() {
        let mut host = TestHost::new();
        host.store.fence();
        let taken = "Stopping: another host owns the shard: the store was told that another host took the shard";
        assert_eq!(start(&host, "S1"), taken);
        // Its thread has ended, or is about to.
        assert!(start(&host, "S2").starts_with("Stopping: "));
        host.stop();
        assert_eq!(format!("Stopping: {}", host.failure.get().unwrap()), taken);
    }
}
