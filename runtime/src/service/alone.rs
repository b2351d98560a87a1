//! One call of guest code that the engine knows nothing of: for a reader, or for a view.

use tokio::sync::oneshot;

use crate::engine::guests::{Caller, GuestCall, GuestReport, Guests};

/// Makes a call, and waits for its report; none: the host stops.
pub(super) async fn call(guests: &dyn Guests, call: GuestCall) -> Option<GuestReport> {
    let (tell, told) = oneshot::channel();
    guests.run(call, Box::new(Alone(Some(tell))));
    told.await.ok()
}

/// Wants one report.
struct Alone(Option<oneshot::Sender<GuestReport>>);

impl Caller for Alone {
    fn report(&mut self, report: GuestReport) -> Option<GuestCall> {
        if let Some(tell) = self.0.take() {
            // Who asked may be gone.
            drop(tell.send(report));
        }
        None
    }

    fn last_report(mut self: Box<Self>, report: GuestReport) {
        self.report(report);
    }
}
