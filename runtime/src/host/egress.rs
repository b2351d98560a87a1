//! Outgoing HTTP: stub of the first slice, it denies everything.

use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::{guest::{Facts, Reach}, traffic::Traffic};

/// What all attempts share.
#[derive(Default)]
pub(super) struct Gate;

/// The hooks of one attempt.
pub(super) struct Egress {
    facts: Facts,
    traffic: Traffic,
}

impl Egress {
    pub(super) fn new(_: &Gate, facts: Facts, traffic: Traffic) -> Self {
        Self { facts, traffic }
    }
}

type Sending = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>> + Send>;

impl WasiHttpHooks for Egress {
    fn send_request(&mut self, request: http::Request<WasiBody>, _: Option<RequestOptions>, _: Box<dyn Future<Output = Result<(), Error>> + Send>) -> Sending {
        let origin = request.uri().to_string();
        let text = match self.facts.reach {
            Reach::EffectFree => format!("step declares effect-free and called {origin}"),
            Reach::All | Reach::Safe | Reach::NotGranted => {
                format!("{origin} (try `amends grant {} --http {origin}`)", self.facts.label.module)
            }
        };
        self.traffic.deny(text);
        Box::new(std::future::pending())
    }
}
